"""Multipart bodies cut into parts by their boundary, byte for byte: batches and uploads are made of them.

The standard library's mail parser would do, but it rewrites line ends and guesses at charsets; a mail inside an
upload must come out as it went in.
"""

import base64
import quopri
import re
from dataclasses import dataclass

from cheerful_pipelines.local_google.calls import GoogleError

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.I)


@dataclass(frozen=True)
class Part:
    """Headers (names in small letters) and the bytes below them."""

    headers: dict[str, str]
    content: bytes

    def decoded_content(self) -> bytes:
        """The bytes with the Content-Transfer-Encoding undone."""
        encoding = self.headers.get("content-transfer-encoding", "").lower()
        if encoding == "base64":
            return base64.b64decode(self.content)
        return quopri.decodestring(self.content) if encoding == "quoted-printable" else self.content


def split_head(data: bytes) -> tuple[list[str], bytes]:
    """(header lines, body): what is above and below the first empty line."""
    if data.startswith((b"\r\n", b"\n")):
        return [], data.removeprefix(b"\r").removeprefix(b"\n")
    match = re.search(rb"\r?\n\r?\n", data)
    if match is None:
        return data.decode("latin-1").splitlines(), b""
    return data[: match.start()].decode("latin-1").splitlines(), data[match.end() :]


def read_header_lines(lines: list[str]) -> dict[str, str]:
    """Header lines as name -> value, names in small letters."""
    pairs = [line.partition(":") for line in lines if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def parse_parts(body: bytes, content_type: str) -> list[Part]:
    """The parts of a multipart body, or 400."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise GoogleError(400, "Missing multipart boundary in Content-Type.")
    delimiter = b"\r?\n--" + re.escape(found[1].encode("latin-1"))
    pieces = re.split(delimiter, b"\r\n" + body)[1:]
    parts: list[Part] = []
    for piece in pieces:
        if piece.startswith(b"--"):
            return parts
        lines, content = split_head(re.sub(rb"\A[ \t]*\r?\n", b"", piece))
        parts.append(Part(read_header_lines(lines), content))
    raise GoogleError(400, "The multipart body has no closing boundary.")
