"""Secrets that are known by how they begin or by where they stand, for detect-secrets: it has no detector of them, or
wants quotes around.

Left are those that no form shows: what is packed in an archive, encoded once more in base64, or put together of pieces.
"""

import re
from collections.abc import Iterator

from detect_secrets.plugins.base import RegexBasedDetector

# What is repeated has an end wherever more follows: a long line of a minified file would take the square of its length.

# No letter or figure is before it, but those of an escape may be: of a control character, or one that is not ASCII.
APART = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abefnrtv0])|(?<=\\[0-7]{3})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})"
    r"|(?<=\\U[0-9A-Fa-f]{8})|(?<=%[0-9A-Fa-f]{2}))"
)
NAMED = r"(?:secret|token|passw(?:or)?d|api[_-]?key|access[_-]?key)"
OPEN = r"(?:['\"`]|\\u[0-9a-f]{4})?"
MIXED = r"(?=[^\s'\"]*[0-9])(?=[^\s'\"]*[a-z])(?=[^\s'\"]*[A-Z])[A-Za-z0-9/+_-]{24,}"
FIGURES = r"(?=[0-9]*[A-Za-z])(?=(?:[A-Za-z]*[0-9]){3})[A-Za-z0-9]{32,}"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9A-Za-z-])"
# No variable's or a template's, nor one that was left out.
GIVEN = r"[^\s'\"`$<>{}\[\]()*\\,;|]"


class BareKeyDetector(RegexBasedDetector):
    """Of models' providers, hubs, clouds and packages; and values without quotes, as in a .env or a Dockerfile."""

    secret_type = "Bare Key"

    denylist = (
        re.compile(APART + r"sk-(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{20,}"),
        re.compile(
            APART + r"(?:hf_|api_org_|r8_|gsk_|nvapi-|dop_v1_|GOCSPX-|ya29\.|dckr_pat_|hv[sb]\."
            r"|tskey-[a-z]+-|shp[a-z]{2}_|(?:xai|pplx)-(?=[A-Za-z_-]{0,80}[0-9]))[A-Za-z0-9_-]{20,}"
        ),
        re.compile(APART + r"(?:gh[oprsu]|github_pat)_[A-Za-z0-9_]{20,}"),
        re.compile(APART + r"AIza[A-Za-z0-9_-]{35}"),
        re.compile(APART + r"npm_[A-Za-z0-9]{36}"),
        re.compile(APART + r"AGE-SECRET-KEY-1[0-9A-Z]{20,}"),
        re.compile(rf"{NAMED}\w{{0,80}}['\"]?\s*(?:[:=]|\s|\\uff1a)\s*{OPEN}((?-i:{MIXED}|{FIGURES}))", re.IGNORECASE),
        re.compile(rf"{NAMED}['\"]?\s*[:=]\s*{OPEN}({UUID})", re.IGNORECASE),
    )

    def analyze_string(self, string: str, **_: object) -> Iterator[str]:
        """Those that are no words: names are written alike, of classes in CSS, of packages and of functions."""
        yield from (value for value in super().analyze_string(string) if not is_of_words(value))


class PlacedSecretDetector(RegexBasedDetector):
    """Where a password, a token or a key of any form stands, and what is made of a password."""

    secret_type = "Placed Secret"

    denylist = (
        re.compile(r"BEGIN (?:[A-Z0-9]+ )*?ENCRYPTED (?:PRIVATE KEY)|PuTTY-User-Key-File-[3-9]"),
        re.compile(r"client-key-data['\"]?:\s*['\"]?([A-Za-z0-9+/=]{40,})"),
        re.compile(r"\bbearer\s+(?=[^\s0-9]*[0-9])([A-Za-z0-9._~+/-]{20,}=*)", re.IGNORECASE),
        re.compile(r"authorization['\"]?\s*[:=]\s*['\"]?basic\s+([A-Za-z0-9+/]{8,}=*)", re.IGNORECASE),
        re.compile(rf"\bcurl\s(?:[^|;]{{0,400}}?\s)?(?:-u|--user)[\s=]?['\"]?[^\s:'\"]{{1,80}}:({GIVEN}{{4,}})"),
        re.compile(rf"\bmachine\s+\S+\s+(?:\S+\s+\S+\s+)?password\s+({GIVEN}{{4,}})"),
        re.compile(rf"^\s*password\s+(?=\S*[0-9])({GIVEN}{{6,}})\s*$"),
        re.compile(rf"://:((?:(?![/?#@:]){GIVEN}){{3,}})@"),
        re.compile(r"(?<![A-Za-z])sig=(?=[^\s&]*[0-9])([A-Za-z0-9%/+_-]{30,})"),
        re.compile(r"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
        re.compile(r"\$[56]\$(?:rounds=[0-9]+\$)?[^\s$:]{1,16}\$[./A-Za-z0-9]{43,86}"),
        re.compile(r"\$(?:apr)?1\$[^\s$:]{1,8}\$[./A-Za-z0-9]{22}"),
    )


def is_of_words(value: str) -> bool:
    """Whether it is written as a name: of words and small numbers between - _ . and /, or of words With Capitals."""
    parts = re.split(r"[-_./]+", value.strip("-_./"))
    if len(parts) > 1:
        return all(re.fullmatch(r"[A-Za-z]?[a-z]{1,14}|[A-Z]{1,14}|[A-Za-z]|[0-9]{1,3}", part) for part in parts)
    pieces = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", value)
    return len(pieces) > 2 and all(re.fullmatch(r"[A-Z][a-z]{2,14}|[0-9]{1,3}", piece) for piece in pieces)
