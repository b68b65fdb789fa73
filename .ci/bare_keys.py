"""Keys that are known by how they begin, for detect-secrets: it has no detector of them, or wants quotes around."""

import re

from detect_secrets.plugins.base import RegexBasedDetector

APART = r"(?<![A-Za-z0-9])"
MIXED = r"(?=[^\s'\"]*[0-9])(?=[^\s'\"]*[a-z])(?=[^\s'\"]*[A-Z])"


class BareKeyDetector(RegexBasedDetector):
    """Of models' providers, hubs, Google and GitHub; and values without quotes, as in a .env or a Dockerfile."""

    secret_type = "Bare Key"

    denylist = (
        re.compile(APART + r"sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"),
        re.compile(APART + r"(?:hf_|api_org_|r8_|gsk_|nvapi-|dop_v1_|GOCSPX-|ya29\.)[A-Za-z0-9_-]{20,}"),
        re.compile(APART + r"(?:gh[oprsu]|github_pat)_[A-Za-z0-9_]{20,}"),
        re.compile(APART + r"AIza[A-Za-z0-9_-]{35}"),
        re.compile(
            r"(?:secret|token|passw(?:or)?d|api_?key|access_?key)\w*['\"]?\s*(?:[:=]|\s)\s*"
            rf"((?-i:{MIXED})[A-Za-z0-9/+_-]{{24,}})",
            re.IGNORECASE,
        ),
    )
