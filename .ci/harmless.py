"""What detect-secrets takes for a secret and is told apart by its name and its form together; a filter for it."""

import re

# What a hash is called -> how many figures it has.
HASHES = {
    "sha512": 128,
    "sha256|digest|checksum": 64,
    "sha1|sha|commit|revision": 40,
}
# Of a page's scripts and of packages: they say themselves what they are.
INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=|sha384-[A-Za-z0-9+/]{64}|sha512-[A-Za-z0-9+/]{86}==")
# Names of objects, as Kubernetes writes them: of words, with small numbers.
OBJECT = re.compile(r"[a-z]{1,20}(?:[-.](?:[a-z]{1,14}|[0-9]{1,3}))*")
# Nobody's userinfo, no query, and nothing in the path that could be a key.
PAGE = re.compile(r"https?://[a-z0-9.-]{1,80}(?::[0-9]+)?(?:/(?:\.?[a-z]{1,14}[0-9]{0,2}(?:[-_.][a-z]{1,14})*)?)*")
HEADER = re.compile(r"[A-Z][A-Za-z]{0,14}(?:-[A-Z][A-Za-z]{0,14})+")
OF_SECRETS = re.compile(r"secret|passw|pwd|token|key|auth|cred")


def is_harmless(secret: str, line: str) -> bool:
    """Whether `secret`, found in `line`, is a hash, the name of an object or of a header, or the address of a page."""
    names = _names(secret, line)
    return bool(INTEGRITY.fullmatch(secret)) or (len(names) == 1 and all(_fits(name, secret) for name in names))


def _names(secret: str, line: str) -> set[str]:
    """What `secret` is called in `line`, in small letters with _; "" where it has no name."""
    before = (line[max(0, found.start() - 120) : found.start()] for found in re.finditer(re.escape(secret), line))
    named = (re.search(r"([\w.-]{1,80})['\"]?\]?\s{0,8}[:=!]{1,3}\s{0,8}['\"`]?$", text) for text in before)
    return {re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name[1]).lower() if name else "" for name in named}


def _fits(name: str, secret: str) -> bool:
    if re.fullmatch(r"[0-9a-f]+", secret):
        sizes = [size for names, size in HASHES.items() if re.search(rf"(?:^|[\W_])(?:{names})$", name)]
        return len(secret) in sizes and not OF_SECRETS.search(name)
    if re.search(r"(?:secret_name|existing_secret|_ref)$", name):
        return bool(OBJECT.fullmatch(secret))
    if re.search(r"(?:url|uri|endpoint)$", name):
        return bool(PAGE.fullmatch(secret))
    return bool(re.search(r"header(?:_name)?$", name) and HEADER.fullmatch(secret))
