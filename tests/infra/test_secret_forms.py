"""Which forms of secrets the scan knows, wherever they stand, and what it tells apart from them."""

import base64
import secrets
import string
import uuid
from pathlib import Path

from tests.infra.planting import lines_of, made_up, mixed, scan

BASE64 = string.ascii_letters + string.digits + "./"
URL = "CLIENT_SECRET_URL"
BEFORE = (
    "the key is “{}”",
    "«{}»",
    "ключ：{}",
    "é{}",
    'b"\\n{}"',
    "'\\x00{}'",
    '"\\u201c{}\\u201d"',
    "'\\033{}'",
    "?q=%3D{}",
)


def few(count: int) -> str:
    """Small letters and figures."""
    return "a0b1c2" + made_up(string.ascii_lowercase + string.digits, count - 6)


def digest(count: int) -> str:
    """As a hash of `count` bytes is written in base64."""
    return base64.b64encode(secrets.token_bytes(count)).decode()


def figures(count: int) -> str:
    """As a hash of so many figures is written, with a letter."""
    return "0a" + secrets.token_hex(count // 2 - 1)


FORMS = {
    "an encrypted key": lambda: "-----BEGIN " + "ENCRYPTED PRIVATE KEY-----",
    "PuTTY's": lambda: "PuTTY-User-Key-" + "File-3: ssh-ed25519",
    "kubeconfig": lambda: f"    client-key-data: {digest(60)}",
    "age": lambda: f"AGE-SECRET-KEY-1{made_up(string.ascii_uppercase + string.digits, 58)}",
    "a bearer": lambda: f'curl -H "Authorization: Bearer {mixed(32)}" https://host.example',
    "basic": lambda: f"Authorization: Basic {digest(12)}",
    "curl": lambda: f"curl -sS -u me:{few(8)} https://host.example",
    "curl's long": lambda: f"curl --user 'me:{few(8)}' https://host.example",
    "netrc": lambda: f"machine host.example login me password {few(8)}",
    "netrc's line": lambda: f"  password {few(8)}",
    "no user": lambda: f"redis://:{few(8)}@host.example:6379/0",
    "ENV": lambda: f"ENV MY_TOKEN {few(32)}",
    "an option": lambda: f"run --token {few(32)} --api-key={few(32)}",
    "in quotes": lambda: f"token = '{few(32)}'",
    "an uuid": lambda: f"HEROKU_API_KEY={uuid.uuid4()}",
    "Azure's SAS": lambda: f"https://a.blob.example/c?sv=2024&sig=0{made_up(string.ascii_letters, 40)}%3D&se=2027",
    "npm": lambda: f"see npm_{mixed(36)}",
    "docker": lambda: f"see dckr_pat_{mixed(27)}",
    "vault": lambda: f"see hvs.{mixed(24)}",
    "tailscale": lambda: f"see tskey-auth-{mixed(12)}-{mixed(24)}",
    "shopify": lambda: f"see shpat_{secrets.token_hex(16)}",
    "xai": lambda: f"see xai-{mixed(40)}",
    "perplexity": lambda: f"see pplx-{mixed(40)}",
    "bcrypt": lambda: f"me:$2b$12${made_up(BASE64, 53)}",
    "crypt": lambda: f"root:$6${made_up(BASE64, 12)}${made_up(BASE64, 86)}:20000::",
    "apache": lambda: f"me:$apr1${made_up(BASE64, 8)}${made_up(BASE64, 22)}",
}


def test_each_known_form_is_found(repository: Path) -> None:
    (repository / "notes.md").write_text("\n".join(make() for make in FORMS.values()))
    found = lines_of(scan("notes.md", folder=repository), "notes.md")
    assert [name for number, name in enumerate(FORMS, 1) if number not in found] == []


def test_a_key_is_found_behind_what_is_not_ascii_and_behind_an_escape(repository: Path) -> None:
    keys = ("hf_", "sk-ant-api03-", "ghp_", "nvapi-")
    lines = [before.format(key + mixed(40)) for before in BEFORE for key in keys]
    (repository / "notes.md").write_text("\n".join([*lines, f"токен：token：{mixed(32)}"]))
    found = lines_of(scan("notes.md", folder=repository), "notes.md")
    assert [number for number in range(1, len(lines) + 2) if number not in found] == []


def good() -> list[str]:
    return [
        f'GIT_SHA = "{figures(40)}"',
        f'EXPECTED_SHA256 = "{figures(64)}"',
        f'parts = {{"expectedSha512": "{figures(128)}"}}',
        f'"integrity": "sha512-{digest(64)}",',
        f"csp = \"script-src 'sha256-{digest(32)}'\"",
        'CLIENT_SECRET_URL = "https://login.example/oauth2/token"',
        'API_KEY_HEADER = "X-Api-Key"',
        "token: TokenWithSeveralWords2AndMoreWords",
        'name = "sk-learn-pipeline-with-2-steps-and-more"',
        "from hub import hf_hub_download_with_retries",
    ]


def bad() -> list[str]:
    """What has such a name or such a form, but not both."""
    return [
        f'GIT_SHA = "{figures(64)}"',
        f'EXPECTED_SHA256 = "{figures(40)}"',
        f'PASSWORD_SHA256 = "{figures(64)}"',
        f'it = "{figures(64)}"',
        'GIT_SHA = "{0}"; it = "{0}"'.format(figures(40)),
        f'"integrity": "sha512-{digest(48)}",',
        f'{URL} = "https://me:{few(8)}@login.example/oauth2/token"',
        f'{URL} = "https://login.example/{few(12)}/token"',
        f'API_KEY_HEADER = "{few(12)}"',
        f"token: Token{mixed(29)}",
        f'name = "sk-learn-{mixed(24)}"',
    ]


def test_what_is_told_apart_by_name_and_form_is_none_and_by_one_of_them_is_one(repository: Path) -> None:
    (repository / "good.py").write_text("\n".join(good()))
    objects = ["secretName: my-registry-credentials", "passwordSecretRef: my-db-password"]
    (repository / "good.yaml").write_text("\n".join(objects))
    (repository / "bad.py").write_text("\n".join(bad()))
    values = [f"secretName: {few(12)}", f"passwordSecretRef: my-{few(12)}", "password: my-db-" + "password"]
    (repository / "bad.yaml").write_text("\n".join(values))
    done = scan("good.py", "good.yaml", "bad.py", "bad.yaml", folder=repository)
    assert "good" not in done.stdout
    assert lines_of(done, "bad.py") == set(range(1, len(bad()) + 1))
    assert lines_of(done, "bad.yaml") == {1, 2, 3}
