"""Mail made to cost time or memory: deep nesting, megabytes of quotation, and what regular expressions choke on."""

from collections.abc import Iterator

MB = 1_000_000


def hostile_mails() -> Iterator[tuple[str, bytes]]:
    """Name and raw bytes of each."""
    for name, text in _texts():
        yield f"text: {name}", _mail("text/plain", text)
    for name, html in _pages():
        yield f"html: {name}", _mail("text/html", html)
    for name, text in _reports():
        yield f"report: {name}", _mail("text/plain", text, sender="MAILER-DAEMON@mx.example", subject="Undeliverable")
    yield "parts: 5,000 nested", _nested(5_000)
    yield "headers: 100,000", b"X-A: b\r\n" * 100_000 + _mail("text/plain", "Hi")
    yield "headers: 50,000 references", b"References: " + b"<a@b> " * 50_000 + b"\r\n" + _mail("text/plain", "Hi")
    yield "headers: a subject of 2 MB", _mail("text/plain", "Hi", subject="Re: " * (MB // 2))


def _texts() -> Iterator[tuple[str, str]]:
    yield "10 MB of quotes", "Yes.\n" + "> no\n" * (2 * MB)
    yield "10 MB of deep quotes", "Yes.\n" + (">" * 99 + "\n") * (MB // 10)
    yield "one line of 10 MB of quote marks", "> " * (5 * MB)
    yield "10 MB of arrows in one line", ">" * (10 * MB)
    yield "10 MB of headers of quotations", "On Mon, 1 Oct 2026 at 10:00, Ana <ana@x.example> wrote:\n" * 180_000
    yield "10 MB of beginnings of such headers", "On Mon, On Mon, On Mon,\n" * 400_000
    yield "one line of beginnings", "On " * (3 * MB)
    yield "10 MB of separators", "-----Original Message-----\n" * 370_000
    yield "10 MB of dashes in one line", "-" * (10 * MB)
    yield "10 MB of underscores in lines", ("_" * 70 + "\n") * 140_000
    yield "10 MB of From: lines", "From: a\nSent: b\nTo: c\nSubject: d\n" * 300_000
    yield "10 MB of empty lines", "\n" * (10 * MB)
    yield "10 MB of spaces", " " * (10 * MB)
    yield "10 MB of one word", "a" * (10 * MB)
    yield "10 MB of addresses", "<a@b.example> " * 700_000
    yield "10 MB of angle brackets", "<" * (10 * MB)
    yield "10 MB of invisible characters", "\u200b" * (3 * MB)
    yield "10 MB of signatures", "-- \nAna\n" * (MB + MB // 4)
    yield "10 MB about an absence", "I am out of office until " * 400_000


def _pages() -> Iterator[tuple[str, str]]:
    yield "100,000 nested blockquotes", "<p>Yes</p>" + "<blockquote>" * 100_000 + "no"
    yield "500,000 nested divs", "<div>" * 500_000 + "Yes"
    yield "10 MB of quote divs", "<p>Yes</p>" + '<div class="gmail_quote">no</div>' * 300_000
    yield "10 MB of tags that never close", "<p " * (3 * MB)
    yield "10 MB of comments", "<!-- a -->" * MB
    yield "10 MB of entities", "&lt;" * (5 * MB // 2)
    yield "100,000 tables in tables", "<table><tr><td>" * 100_000 + "Yes"
    yield "10 MB of attributes", "<p " + 'a="b" ' * (MB + MB // 2) + ">Yes</p>"
    yield "10 MB of line breaks", "Yes" + "<br>" * (5 * MB // 2)


def _reports() -> Iterator[tuple[str, str]]:
    yield "10 MB of addresses", "Delivery failed\n" + "a@b.example:\n" * 700_000
    yield "10 MB of 'failed to user'", "failed to user " * 600_000
    yield "10 MB of dashes", "Delivery failed\n" + "--\n" * (3 * MB)


def _mail(content_type: str, body: str, *, sender: str = "ana@creator.example", subject: str = "Re: A gift") -> bytes:
    head = (
        f"From: {sender}\r\nTo: mia@brand.example\r\nSubject: {subject}\r\nMessage-ID: <h1@creator.example>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: {content_type}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return head.encode() + body.encode()


def _nested(depth: int) -> bytes:
    opened = "".join(
        f'Content-Type: multipart/mixed; boundary="b{level}"\r\n\r\n--b{level}\r\n' for level in range(depth)
    )
    return (
        "From: ana@creator.example\r\nTo: mia@brand.example\r\nSubject: Re: A gift\r\nMIME-Version: 1.0\r\n"
        f"{opened}Content-Type: text/plain\r\n\r\nYes\r\n"
    ).encode()
