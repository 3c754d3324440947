"""HTML bodies to text, quotation left out by structure first. Pure; one pass over the events of the parser.

Only the structure that mail programs give is judged here; words are judged in `quoted_text.py`.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from cheerful_pipelines.mail.html_text import bounded_html
from cheerful_pipelines.mail.visibility import VOID, Visibility

_HIDDEN = frozenset(("style", "script", "head", "title", "template", "noscript"))
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "div",
        "dl",
        "dt",
        "dd",
        "fieldset",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tbody",
        "tr",
        "ul",
    ]
)
_QUOTE_CLASSES = frozenset(
    [
        "gmail_quote",
        "gmail_quote_container",
        "yahoo_quoted",
        "moz-cite-prefix",
        "protonmail_quote",
        "tutanota_quote",
        "zmail_extra",
        "gmail_attr",
        "quoted-text",
        "mailspring-quoted-text",
    ]
)
_QUOTE_IDS = frozenset(
    (
        "divrplyfwdmsg",
        "olk_src_body_section",
        "replysplit",
        "mail-editor-reference-message-container",
        "isforwardcontent",
    )
)
_EVERYTHING_AFTER = frozenset(("appendonsend", "stopspelling", "divrplyfwdmsg"))
"""Outlook puts these marks before the quotation, not around it."""
_FORWARDED = re.compile(
    r"^\W*+(?:begin )?(?:forwarded|weitergeleitete|message transf|mensaje reenv|mensagem enc|messaggio inolt|"
    r"doorgestuurd|wiadomość przek|przekazan|vidarebefordra|videresendt)",
    re.I,
)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class HtmlText:
    """`only_quotation`: every word stands inside a mail program's own quotation mark-up."""

    text: str
    only_quotation: bool


@dataclass
class _Piece:
    """Text outside of any quotation (kind None) or all text of one outermost quotation."""

    kind: str | None
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class _Reader(HTMLParser):
    """Collects pieces in order. Unclosed and stray tags are tolerated: depth never goes below a piece's start."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[_Piece] = [_Piece(None)]
        self._hidden = 0
        self._visibility = Visibility()
        self._quote_tag = ""
        self._quote_depth = 0
        self._all_that_follows = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: (value or "").lower() for name, value in attrs}
        self._visibility.start(tag, named)
        if tag in _HIDDEN:
            self._hidden += 1
            return
        if tag == "br" or tag in _BLOCKS:
            self._add("\n")
        if named.get("id", "") in _EVERYTHING_AFTER and not self._all_that_follows and self._quote_depth == 0:
            self._open("marked", "")
            self._all_that_follows = True
            return
        if self._all_that_follows or tag in VOID:
            return
        if self._quote_depth:
            self._quote_depth += tag == self._quote_tag
            return
        kind = _quote_kind(tag, named)
        if kind is not None:
            self._open(kind, tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br" or tag in _BLOCKS:
            self._add("\n")

    def handle_endtag(self, tag: str) -> None:
        self._visibility.end(tag)
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
            return
        if tag in _BLOCKS:
            self._add("\n")
        if self._quote_depth and tag == self._quote_tag:
            self._quote_depth -= 1
            if self._quote_depth == 0:
                self.pieces.append(_Piece(None))

    def handle_data(self, data: str) -> None:
        if not self._hidden and not self._visibility.is_hidden:
            self._add(_SPACES.sub(" ", data))

    def _open(self, kind: str, tag: str) -> None:
        self.pieces.append(_Piece(kind))
        self._quote_tag, self._quote_depth = tag, 1

    def _add(self, text: str) -> None:
        self.pieces[-1].parts.append(text)


def _quote_kind(tag: str, named: dict[str, str]) -> str | None:
    classes = set(named.get("class", "").split())
    if tag == "blockquote":
        if named.get("type") == "cite":
            return "marked"
        return None if "gmail_quote" in classes else "plain"
    if classes & _QUOTE_CLASSES or named.get("id", "") in _QUOTE_IDS:
        return "marked"
    return None


def html_without_quotation(html: str) -> HtmlText:
    """Visible text of an HTML body without what its mark-up calls quotation; whole where nothing else has words."""
    reader = _Reader()
    reader.feed(bounded_html(html))
    reader.close()
    pieces = reader.pieces
    plain = [i for i, piece in enumerate(pieces) if piece.kind == "plain" and _WORD.search(piece.text)]
    # People indent with a blockquote too: of several plain ones only the last is taken for the history.
    dropped = {i for i, piece in enumerate(pieces) if piece.kind == "marked" and not _FORWARDED.match(piece.text)}
    dropped.update(plain[-1:])
    own = "".join(piece.text for i, piece in enumerate(pieces) if i not in dropped)
    if _WORD.search(own):
        return HtmlText(_squeeze(own), only_quotation=False)
    whole = _squeeze("".join(piece.text for piece in pieces))
    return HtmlText(whole, only_quotation=bool(_WORD.search(whole)) and not plain)


def _squeeze(text: str) -> str:
    lines = (line.strip() for line in text.split("\n"))
    squeezed: list[str] = []
    for line in lines:
        if line or (squeezed and squeezed[-1]):
            squeezed.append(line)
    return "\n".join(squeezed).strip()
