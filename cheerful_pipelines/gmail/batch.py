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
    """The parts that came whole, by the ids of the request. A part that was cut off, or has no id, is left out."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return {}
    wanted = set(names)
    found: dict[str, BatchPart] = {}
    pieces = body.split(b"--" + match.group(1).encode())
    for piece in pieces[1:-1]:  # before the first boundary stands nothing; after the last, the end or a cut part
        outer, _, rest = piece.lstrip(b"\r\n").partition(b"\r\n\r\n")
        name = _headers(outer.split(b"\r\n")).get("content-id", "").strip("<> ").removeprefix("response-")
        head, _, content = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = _STATUS.match(lines[0])
        if name in wanted and status is not None:
            found[name] = BatchPart(int(status.group(1)), _headers(lines[1:]), content.rstrip(b"\r\n"))
    return found


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}
