"""Gmail's batch format: many GETs in one request, and the parts of the answer. Pure: no I/O.

Written by hand because google-api-python-client parses a batch's answer as an email, which costs more CPU than
everything else that happens to a message (benchmarks/first_sync.py).
Source: developers.google.com/workspace/gmail/api/guides/batch.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import uuid4

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})")
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)


class BatchPart(NamedTuple):
    """One answer within a batch."""

    status: int
    headers: dict[str, str]
    body: bytes


def encode_batch(paths: Mapping[str, str]) -> tuple[str, bytes]:
    """(Content-Type, body) of a request for the given paths, by an id of the caller's choice."""
    boundary = f"batch_{uuid4().hex}"
    parts = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{name}>\r\n\r\nGET {path} HTTP/1.1\r\n\r\n\r\n"
        for name, path in paths.items()
    ]
    return f"multipart/mixed; boundary={boundary}", ("".join(parts) + f"--{boundary}--\r\n").encode()


def decode_batch(content_type: str, body: bytes, names: Sequence[str]) -> dict[str, BatchPart]:
    """The parts that came whole, by the ids of the request. A part that was cut off, or has no id, is not among them.

    The body may end anywhere: its last part counts if its own Content-Length says that it is complete. Without a
    Content-Type (the connection broke) the first line of the body names the boundary.
    """
    boundary = _boundary(content_type, body)
    if boundary is None:
        return {}
    wanted, found = set(names), dict[str, BatchPart]()
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    for number, piece in enumerate(pieces[1:], start=2):
        name, part, is_whole = _part(piece)
        if name in wanted and part is not None and (is_whole or (is_whole is None and number < len(pieces))):
            found[name] = part
    return found


def _boundary(content_type: str, body: bytes) -> bytes | None:
    if match := _BOUNDARY.search(content_type):
        return match.group(1).encode()
    line, end, _ = body.partition(b"\r\n")
    return line[2:] if end and line.startswith(b"--") and len(line) > 2 else None


def _part(piece: bytes) -> tuple[str, BatchPart | None, bool | None]:
    """(id, answer, whether it is whole; None if it does not say how long it is)."""
    outer, _, rest = piece.lstrip(b"\r\n").partition(b"\r\n\r\n")
    name = _headers(outer.split(b"\r\n")).get("content-id", "").strip("<> ").removeprefix("response-")
    head, gap, content = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    status = _STATUS.match(lines[0])
    if status is None or not gap:
        return name, None, False
    headers = _headers(lines[1:])
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 12):
        return name, BatchPart(int(status.group(1)), headers, content.rstrip(b"\r\n")), None
    content = content[: int(length)]
    return name, BatchPart(int(status.group(1)), headers, content), len(content) == int(length)


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
