"""The commands of gcp.yaml that keep a machine's identity where S3's client looks for it, against a local server."""

import subprocess
from pathlib import Path

from tests.infra.launcher.clusters import read
from tests.infra.launcher.metadata import METADATA


def test_the_identity_is_written_where_the_container_has_it(metadata_server: str, tmp_path: Path) -> None:
    config = read("gcp")
    (folder,) = {option.split(":")[1] for option in config["docker"]["run_options"] if option.startswith("--volume=")}
    script = tmp_path / "renew-identity"
    moves = {
        METADATA: metadata_server,
        folder: str(tmp_path / "identity"),
        "/usr/local/bin": str(tmp_path),
        "sudo ": "",
    }
    write, run, again = [command for command in config["initialization_commands"] if "identity" in command]
    for old, new in moves.items():
        write, run, again = write.replace(old, new), run.replace(old, new), again.replace(old, new)
    for command in (write, run):
        subprocess.run(["bash", "-c", command], check=True, timeout=30)
    variable = next(option for option in config["docker"]["run_options"] if "AWS_WEB_IDENTITY_TOKEN_FILE" in option)
    token = tmp_path / "identity" / Path(variable.rpartition("=")[2]).relative_to(folder)
    assert token.read_text() == "an-identity"
    assert token.stat().st_mode & 0o777 == 0o644
    assert str(script) in again

    # One that is there is kept until the next one is whole.
    script.write_text(script.read_text().replace("Google", "Other"))
    assert subprocess.run([script], timeout=30).returncode != 0
    assert token.read_text() == "an-identity"
