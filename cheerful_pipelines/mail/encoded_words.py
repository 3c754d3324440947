"""Encoded words of a header (RFC 2047) to text with the standard library, within a bound of work. Pure."""

from email.errors import MessageError
from email.header import decode_header, make_header

MAX_STEPS = 4_000_000
"""The library looks for an end behind every beginning: its time grows with beginnings times length. Some 0.05 s."""


def is_decodable(value: str) -> bool:
    """Whether the library decodes the header in bounded time; what is not decodable is kept as written."""
    return value.count("=?") * len(value) <= MAX_STEPS


def decoded(value: str) -> str:
    """The header's text; as written where it cannot be decoded."""
    if not is_decodable(value):
        return value
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError, MessageError, AssertionError):
        return value
