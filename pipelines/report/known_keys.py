"""Keys that are known by how they begin, whatever stands before them."""

import re

_APART = r"(?<![A-Za-z0-9])"
_PREFIXES = (
    *("hf", "api_org", "gh[oprsu]", "github_pat", "glpat", "sk", "rk", "r8", "gsk", "nvapi", "dop_v1", "GOCSPX"),
    *("xox[a-z]", "xapp"),
)
_FORMS = (
    _APART + r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
    _APART + rf"(?:{'|'.join(_PREFIXES)})[_-][0-9A-Za-z_-]{{16,}}+",
    _APART + r"AIza[0-9A-Za-z_-]{30,}+",
    _APART + r"ya29\.[0-9A-Za-z_-]{16,}+",
    _APART + r"eyJ[0-9A-Za-z_-]{12,}+(?:\.[0-9A-Za-z_-]*+)*+",  # a JWT: what encodes {"
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,60}-----|\Z)",
)
KNOWN_KEY = re.compile("|".join(_FORMS))
"""Finds each in time that is linear in the text."""
