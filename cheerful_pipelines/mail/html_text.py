"""HTML of a mail to plain text, in one pass, with nothing rendered and nothing fetched. No I/O."""

import re
from html.parser import HTMLParser

from cheerful_pipelines.mail.visibility import Visibility

LONGEST_HTML = 500_000
"""So many characters are read, pictures within the text not counted; the raw mail keeps all of it."""
MAX_TAGS = 50_000
"""So many tags of a page are read; the longest newsletters have some 15,000."""
_PICTURE = re.compile(r"data:[\w/+.-]{0,60};base64,[\w+/=%\s]{100,}")

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "br",
        "dd",
        "div",
        "dl",
        "dt",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tr",
        "ul",
    ]
)
_HIDDEN = frozenset(("head", "script", "style", "template", "title"))


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._visibility = Visibility()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._visibility.start(tag, {name: value or "" for name, value in attrs})
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._visibility.end(tag)
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden and not self._visibility.is_hidden:
            self.pieces.append(data)


def bounded_html(html: str) -> str:
    """What of a page is read: a beginning of it, without what html.parser takes quadratic time for.

    A tag or comment that never closes is looked for again at each "<" by most of the Pythons in use.
    """
    html = _PICTURE.sub("", html)[:LONGEST_HTML]
    if html.count("<") > MAX_TAGS:
        html = "<".join(html.split("<", MAX_TAGS)[:MAX_TAGS])
    comment = html.rfind("<!--")
    if comment >= 0 and html.find("-->", comment) < 0:
        html = html[:comment]
    closed = html.rfind(">") + 1
    return html[:closed] + html[closed:].replace("<", "&lt;")


def html_to_text(html: str) -> str:
    """Text of the visible parts; block elements become line breaks, runs of blanks one blank."""
    reader = _Text()
    try:
        reader.feed(bounded_html(html))
        reader.close()
    except AssertionError:  # html.parser gives up on some malformed declarations; keep what it had read
        pass
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    text: list[str] = []
    for line in lines:
        if line or (text and text[-1]):
            text.append(line)
    return "\n".join(text).strip()
