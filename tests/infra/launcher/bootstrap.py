"""What `ray up` does before its first ssh: `python -m tests.infra.launcher.bootstrap CLOUD FILE`.

Resolves the cluster's file against the cloud's API, starts the head's machine, writes the config that the head gets to
FILE and prints the machine's id. It runs in a process of its own since Ray keeps its clients for good.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

from tests.infra.launcher.clusters import read


def main() -> None:
    cloud, file = sys.argv[1:]
    config: dict[str, Any] = _bootstrap_config(read(cloud), no_config_cache=True)
    # No ssh: the machines exist in the server's books only.
    config["provider"]["disable_node_updaters"] = True
    kind = config["available_node_types"]["head"]["node_config"]
    tags = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: "head", TAG_RAY_NODE_STATUS: "up-to-date"}
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    (machine,) = provider.create_node(kind, tags, 1)
    for key in ("head_node", "file_mounts"):
        config[key] = {}
    Path(file).write_text(json.dumps(config))
    print(machine)


if __name__ == "__main__":
    main()
