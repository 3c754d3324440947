"""What production refuses of keys and URLs, and how a URL is shown without its secrets. Pure."""

from collections.abc import Mapping
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

FEWEST_DISTINCT_DIGITS = 8
"""Of 32 random hexadecimal digits 14 are distinct on average; fewer than 8 come once in 10^9 keys."""
_LOCAL_NAMES = (".internal", ".local", ".svc", ".localhost")


def weak_key(text: str) -> str | None:
    """Why a hexadecimal key was not drawn at random, in words; None where nothing speaks against it.

    >>> weak_key("00" * 32), weak_key("0123456789abcdef" * 4)
    ('it has only 1 distinct digits', 'it repeats a shorter text')
    """
    digits = text.lower()
    if len(set(digits)) < FEWEST_DISTINCT_DIGITS:
        return f"it has only {len(set(digits))} distinct digits"
    if (digits + digits).find(digits, 1) < len(digits):
        return "it repeats a shorter text"
    if digits == digits[::-1]:
        return "it reads the same backwards"
    try:
        steps = {(later - earlier) % 256 for earlier, later in pairwise(bytes.fromhex(digits))}
    except ValueError:
        return None  # not hexadecimal: the field's own validator says so
    return "it counts up or down" if len(steps) == 1 else None


def same_keys(keys: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """Pairs of settings of which one key is the other, or a part of it: who has one has both."""
    known = [(name, key.lower()) for name, key in keys.items() if key]
    return [
        (first, second)
        for number, (first, one) in enumerate(known)
        for second, other in known[number + 1 :]
        if one in other or other in one
    ]


def is_plain(url: str, *, private_is_fine: bool = False) -> bool:
    """Whether what is sent to the URL can be read on the way: not https, and not this machine.

    `private_is_fine`: a private address or a name of a private network (`vllm`, `vllm.default.svc`) will do as well.
    """
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme.lower() == "https":
        return not host
    return not (_is_loopback(host) or (private_is_fine and _is_private(host)))


def masked_url(text: str) -> str:
    """The text; of a URL without user, password and the values of its query.

    >>> masked_url("s3://key:secret@bucket/mail?token=abc"), masked_url("https://a.example/x")
    ('s3://***@bucket/mail?token=***', 'https://a.example/x')
    """
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        query = urlencode([(name, "***") for name, _ in parse_qsl(parts.query, keep_blank_values=True)], safe="*")
    except ValueError:
        return "(a URL that cannot be read)"
    host = f"***@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    return urlunsplit((parts.scheme, host, parts.path, query or ("***" if parts.query else ""), ""))


def is_this_machine(url: str) -> bool:
    """Whether the URL leads to the machine that asks, which no other can reach by it."""
    return _is_loopback((urlsplit(url.strip()).hostname or "").rstrip(".").lower())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_LOCAL_NAMES))
