# ruff: noqa: E501 (one mail a line)
"""Mails and cells made to break, slow down or fill what reads and stores them: for drills, benchmarks and tests.

`hostile_mails()` are more than 40 mails that a mailbox can really hold, each under 3 MB; of the same kinds but larger
are those of `mail/reading/hostile_mail.py`. All of them must be stored or become a dead letter of their own.
"""

import base64
from collections.abc import Iterator
from typing import NamedTuple


class HostileMail(NamedTuple):
    """Raw bytes under a name that says what is hostile about them."""

    name: str
    raw: bytes


def hostile_mails() -> list[HostileMail]:
    """Every hostile mail, in a fixed order."""
    return [*_addresses(), *_headers(), *_structures(), *_contents()]


def mail(headers: bytes, body: bytes = b"Yes, count me in.", *, sender: bytes = b"ana@creator.example") -> bytes:
    """A mail whose other headers are ordinary."""
    given = headers.lower()
    ordinary = (
        (b"from:", b"From: " + sender), (b"to:", b"To: mia@brand.example"), (b"subject:", b"Subject: Re: A gift"),
        (b"date:", b"Date: Thu, 01 Oct 2026 09:00:00 +0000"),
    )  # fmt: skip
    lines = [line for name, line in ordinary if not given.startswith(name)]
    return b"\r\n".join((*lines, headers)) + b"\r\n\r\n" + body


def _addresses() -> Iterator[HostileMail]:
    for header in (b"From", b"To", b"Cc"):
        yield HostileMail(
            f"500 open comments in {header.decode()}", mail(header + b": " + b"(" * 500 + b" a@b.example")
        )
        yield HostileMail(f"5,000 nested groups in {header.decode()}", mail(header + b": " + b"a:" * 5_000))
    yield HostileMail("80,000 open comments", mail(b"To: " + b"(" * 80_000))
    yield HostileMail(
        "40 KB of blanks in an encoded word", mail(b"From: =?utf-8?q?" + b"_" * 40_000 + b"?= <a@b.example>")
    )
    yield HostileMail("40 KB of commas", mail(b"From: " + b"," * 40_000))
    yield HostileMail("40 KB of dots", mail(b"From: " + b"." * 40_000))
    yield HostileMail("40 KB of open domain literals", mail(b"From: " + b"[a" * 20_000))
    yield HostileMail("40 KB of at signs", mail(b"From: " + b"@" * 40_000))
    yield HostileMail("40 KB of letters", mail(b"From: " + b"a" * 40_000))
    yield HostileMail("40 KB of quotes", mail(b"From: " + b'"' * 40_000))
    yield HostileMail("an address of 100 KB", mail(b"From: " + b"a" * 50_000 + b"@" + b"b" * 50_000 + b".example"))
    yield HostileMail("an address of 3,000 bytes", mail(b"To: " + b"a" * 3_000 + b"@b.example"))
    yield HostileMail("100,000 recipients", mail(b"To: " + b", ".join(b"a%d@b.example" % n for n in range(100_000))))
    yield HostileMail("20,000 To headers", mail(b"\r\n".join(b"To: a%d@b.example" % n for n in range(20_000))))
    yield HostileMail(
        "combining marks in a name", mail(b"From: a" + "\u0300\u0316".encode() * 10_000 + b" <a@b.example>")
    )
    yield HostileMail(
        "combining marks in a domain", mail(b"From: a@b" + "\u0300\u0316".encode() * 10_000 + b".example")
    )


def _headers() -> Iterator[HostileMail]:
    yield HostileMail("10,000 encoded words", mail(b"Subject: " + b"=?utf-8?q?a?= " * 10_000))
    yield HostileMail("100,000 beginnings of encoded words", mail(b"Subject: " + b"=?" * 100_000))
    yield HostileMail("50,000 encoded words that never end", mail(b"Subject: " + b"=?a?q?" * 50_000))
    yield HostileMail("a subject of 1 MB", mail(b"Subject: " + b"gift " * 200_000))
    yield HostileMail("a Message-ID of 10 KB", mail(b"Message-ID: <" + b"a" * 10_000 + b"@b.example>"))
    yield HostileMail("a Message-ID of 3,000 bytes", mail(b"Message-ID: <" + b"a" * 3_000 + b"@b.example>"))
    yield HostileMail("an In-Reply-To of 10 KB", mail(b"In-Reply-To: <" + b"a" * 10_000 + b"@b.example>"))
    yield HostileMail(
        "50,000 References", mail(b"References: " + b" ".join(b"<%d@b.example>" % n for n in range(50_000)))
    )
    yield HostileMail("50,000 other headers", mail(b"\r\n".join(b"X-%d: a" % n for n in range(50_000))))
    yield HostileMail("a header of 2 MB", mail(b"X-A: " + b"a" * 2_000_000))
    yield HostileMail("a header folded 100,000 times", mail(b"Subject: a" + b"\r\n b" * 100_000))
    yield HostileMail(
        "a NUL in every header", mail(b"Subject: a\x00b\r\nMessage-ID: <a\x00b@b.example>\r\nIn-Reply-To: <\x00@b>")
    )
    yield HostileMail(
        "lone surrogates", mail(b"Subject: =?utf-8?b?" + base64.b64encode(b"\xed\xa0\x80") + b"?= \xed\xbf\xbf")
    )
    yield HostileMail("surrogates as UTF-16", mail(b"Subject: =?utf-16-be?b?" + base64.b64encode(b"\xd8\x00") + b"?="))
    for date in (b"Mon, 1 Jan 0001 00:00:00 +0000", b"Fri, 31 Dec 9999 23:59:59 -2359", b"Thu, 1 Jan 300000 00:00:00 +0000",
                 b"Thu, 1 Oct 2026 09:00:00 +999999999999", b"1 " * 10_000, b"9" * 100_000):  # fmt: skip
        yield HostileMail(f"a date: {date[:30].decode()}", mail(b"Date: " + date))
    yield HostileMail("no header at all", b"\x00\xff" * 1_000)
    yield HostileMail("nothing but line ends", b"\r\n" * 100_000)


def _structures() -> Iterator[HostileMail]:
    for depth in (300, 5_000, 50_000):
        parts = b"".join(
            b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
        )
        yield HostileMail(f"{depth:,} multiparts within each other", mail(parts + b"Content-Type: text/plain"))
    same = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' * 20_000
    yield HostileMail("20,000 multiparts of one boundary", mail(same + b"Content-Type: text/plain"))
    yield HostileMail("5,000 mails within each other", mail(b"Content-Type: message/rfc822\r\n\r\n" * 5_000 + b"X: y"))
    part = b'--b\r\nContent-Type: image/png; name="x.png"\r\nContent-Disposition: attachment\r\n\r\nab\r\n'
    yield HostileMail(
        "10,000 attachments", mail(b'Content-Type: multipart/mixed; boundary="b"', part * 10_000 + b"--b--")
    )
    yield HostileMail(
        "a boundary of 100 KB", mail(b'Content-Type: multipart/mixed; boundary="' + b"b" * 100_000 + b'"')
    )
    yield HostileMail("20,000 parameters", mail(b"Content-Type: text/plain" + b'; a="b' * 20_000))
    yield HostileMail(
        "20,000 numbered parameters",
        mail(b"Content-Type: text/plain" + b"".join(b"; name*%d*=a" % n for n in range(20_000))),
    )
    name = b"=?utf-8?q?a" * 20_000
    yield HostileMail(
        "a file name of encoded words that never end",
        mail(
            b'Content-Type: multipart/mixed; boundary="b"',
            b'--b\r\nContent-Type: image/png; name="' + name + b'"\r\n\r\nab\r\n--b--',
        ),
    )


def _contents() -> Iterator[HostileMail]:
    plain = b"Content-Type: text/plain; charset="
    for charset in (
        b"no-such-charset",
        b"utf-7",
        b"idna",
        b"unicode_escape",
        b"rot13",
        b"\x00",
        b"a" * 50_000,
        b"utf-16",
    ):
        yield HostileMail(
            f"charset {charset[:20].decode('latin-1')!r}", mail(plain + charset, b"\xff\xfe+AAA-" * 1_000)
        )
    encoded = plain + b"utf-8\r\nContent-Transfer-Encoding: "
    yield HostileMail("broken base64", mail(encoded + b"base64", b"!\xff=" * 100_000))
    yield HostileMail("base64 of NULs", mail(encoded + b"base64", base64.b64encode(b"\x00" * 500_000)))
    yield HostileMail("quoted-printable of equal signs", mail(encoded + b"quoted-printable", b"=" * 1_000_000))
    yield HostileMail("uuencode that never ends", mail(encoded + b"x-uuencode", b"begin 644 a\r\n" + b"M" * 500_000))
    html = b"Content-Type: text/html; charset=utf-8"
    yield HostileMail("200,000 nested tables", mail(html, b"<table><tr><td>" * 100_000))
    yield HostileMail("declarations that never close", mail(html, b"<![CDATA[" * 100_000 + b"<!a" * 100_000))
    yield HostileMail("a style of 200,000 zeros", mail(html, b'<p style="opacity:' + b"0" * 200_000 + b'x">Yes</p>'))
    yield HostileMail("200,000 entities that never end", mail(html, b"&#" * 200_000))
    yield HostileMail("100,000 quotes of quotes", mail(b"X: y", b"Yes\r\n" + b"> " * 100_000))
    yield HostileMail("200,000 combining marks", mail(plain + b"utf-8", b"a" + "\u0300\u0316".encode() * 100_000))
    yield HostileMail("500 KB of digits with dots", mail(b"X: y", b"0." * 250_000))


def hostile_cells() -> list[tuple[str, str]]:
    """Texts of 50,000 characters, the most that a cell of Google Sheets holds, under their names."""
    size = 50_000
    pumps = (
        "a", " ", "<", "@", "<@", "< ", "(", "()", ",", ";", ".", "'", '"', "a@", "@a.", "a@b.example ", "<a@b.example>",
        "mailto:", "-", "\u0300\u0316", "\u00ad", "\n", "a b ", "#N/A", "xn--", "\u0130", "\ufdfa", "a.", "é@",
    )  # fmt: skip
    made = [(f"{pump!r} repeated", (pump * size)[:size]) for pump in pumps]
    made += [(f"an address of {pump!r}", "a@" + (pump * size)[: size - 10] + ".example") for pump in pumps]
    made += [(f"a name of {pump!r}", (pump * size)[: size - 20] + " <ana@creator.example>") for pump in pumps]
    return made
