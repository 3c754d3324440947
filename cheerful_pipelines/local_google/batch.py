"""POST /batch/gmail/v1: many calls in one request. Each part is a `Call` of its own, with its own answer and price."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, parse_query
from cheerful_pipelines.local_google.multipart import Part, parse_parts, read_header_lines, split_head

MOST_PARTS = 100


def answer_batch(call: Call, answer_one: Callable[[Call], Answer]) -> Answer:
    """Answer every part in the order sent. A part that fails does not touch the others."""
    parts = parse_parts(call.content, call.headers.get("content-type", ""))
    if len(parts) > MOST_PARTS:
        raise GoogleError(400, f"The batch request holds {len(parts)} calls; at most {MOST_PARTS} are allowed.")
    boundary = f"batch_{uuid4().hex}"
    pieces = [_written(part, answer_one(_call_of(part, call)), boundary) for part in parts]
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return Answer(200, body, content_type=f"multipart/mixed; boundary={boundary}")


def _call_of(part: Part, outer: Call) -> Call:
    lines, content = split_head(part.content.lstrip(b"\r\n"))
    words = lines[0].split(" ") if lines else []
    if len(words) < 2:
        raise GoogleError(400, "A part of the batch is not an HTTP request.")
    target = urlsplit(words[1])
    headers = read_header_lines(lines[1:])
    if "authorization" not in headers and "authorization" in outer.headers:
        headers["authorization"] = outer.headers["authorization"]
    return Call(words[0], target.path, parse_query(target.query), headers, content, is_part=True)


def _written(part: Part, answer: Answer, boundary: str) -> bytes:
    content_id = part.headers.get("content-id", "")
    reply_id = f"Content-ID: <response-{content_id.strip('<>')}>\r\n" if content_id else ""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    payload = answer.payload()
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    head = (
        f"--{boundary}\r\nContent-Type: application/http\r\n{reply_id}\r\n"
        f"HTTP/1.1 {answer.status} {phrase}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(payload)}\r\n{headers}\r\n"
    )
    return head.encode() + payload + b"\r\n"
