"""Address headers (From, To, Cc, Bcc) to display names and addresses: without recursion, in linear time. Pure.

The grammar and its tolerance are those of `email.utils.getaddresses` of Python 3.11.7, whose results are kept for every
header: nested comments and groups raise RecursionError there, and later Pythons refuse a whole header where one
address is odd. A hypothesis test compares both.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_SPECIALS = '()<>@,:;."[]'
_ATOM_ENDS = frozenset(_SPECIALS + " \t\r\n")
_PHRASE_ENDS = _ATOM_ENDS - {"."}  # obsolete syntax allows dots in phrases
_ATOM = re.compile(r'[^()<>@,:;."\[\] \t\r\n]*')
_PHRASE_WORD = re.compile(r'[^()<>@,:;"\[\] \t\r\n]*')
_COMMENT_TEXT = re.compile(r"[^()\\\r]*")
_DELIMITED_TEXT = {'"': re.compile(r'[^"\\\r]*'), "]": re.compile(r"[^\]\\\r]*")}


class Mailbox(NamedTuple):
    """One entry of an address header; either part may be empty."""

    name: str
    address: str


def mailboxes(header: str) -> Iterator[Mailbox]:
    """Every entry of an address header in order, those within groups too. Takes any text and raises nothing."""
    return _Scanner(header).mailboxes()


class _Scanner:
    """Position in a header; each method reads one element of the grammar of RFC 5322 and moves on."""

    def __init__(self, text: str) -> None:
        self._text, self._end, self._at = text, len(text), 0
        self._comments: list[str] = []

    def mailboxes(self) -> Iterator[Mailbox]:
        """A group's members are entries like any other: only how many groups are open is counted."""
        open_groups = 0
        while self._at < self._end:
            if open_groups:
                self._skip_blanks()
                if self._peek() == ";":
                    self._at += 1
                    open_groups -= 1
                    self._skip_comma()
                    continue
            found, opens_group = self._entry()
            if found is not None:
                yield found
            if opens_group:
                open_groups += 1
            else:
                self._skip_comma()

    def _entry(self) -> tuple[Mailbox | None, bool]:
        """(the next entry if there is one, whether a group begins instead)."""
        self._comments = []
        self._skip_blanks()
        start = self._at
        phrase = self._phrase()
        self._skip_blanks()
        following = self._peek()
        if following in (".", "@"):  # what looked like a phrase is the local part
            self._at = start  # its comments are read, and named, twice: as the standard library does
            address = self._address()
            return Mailbox(" ".join(self._comments), address), False
        if following == ":":
            self._at += 1
            return None, True
        if following == "<":
            address = self._angled()
            name = " ".join(phrase)
            return Mailbox(f"{name} ({' '.join(self._comments)})" if self._comments else name, address), False
        if phrase:
            return Mailbox(" ".join(self._comments), phrase[0]), False
        if following and following in _SPECIALS:
            self._at += 1
        return None, False

    def _peek(self) -> str:
        return self._text[self._at] if self._at < self._end else ""

    def _skip_comma(self) -> None:
        self._skip_blanks()
        if self._peek() == ",":
            self._at += 1

    def _skip_blanks(self) -> str:
        """White space and comments; returns the blanks."""
        blanks: list[str] = []
        while self._at < self._end:
            char = self._text[self._at]
            if char in " \t":
                blanks.append(char)
            elif char == "(":
                self._comments.append(self._comment())
                continue
            elif char not in "\r\n":
                break
            self._at += 1
        return "".join(blanks)

    def _phrase(self) -> list[str]:
        words: list[str] = []
        while self._at < self._end:
            char = self._text[self._at]
            if char in " \t\r\n":
                self._at += 1
            elif char == '"':
                words.append(self._delimited('"'))
            elif char == "(":
                self._comments.append(self._comment())
            elif char in _PHRASE_ENDS:
                break
            else:
                words.append(self._matched(_PHRASE_WORD))
        return words

    def _angled(self) -> str:
        """The address within `<...>`; an obsolete route before it is skipped."""
        self._at += 1
        self._skip_blanks()
        in_route = False
        while self._at < self._end:
            char = self._text[self._at]
            if in_route:
                self._domain()
                in_route = False
            elif char == ">":
                self._at += 1
                return ""
            elif char in "@:":
                self._at += 1
                in_route = char == "@"
            else:
                address = self._address()
                self._at += 1
                return address
            self._skip_blanks()
        return ""

    def _address(self) -> str:
        """local@domain, or the local part alone; empty where the domain cannot be read."""
        parts: list[str] = []
        self._skip_blanks()
        while self._at < self._end:
            char = self._text[self._at]
            keeps_blanks = char != "."
            if char == ".":
                _drop_blank(parts)
                parts.append(".")
                self._at += 1
            elif char == '"':
                parts.append('"' + self._delimited('"').replace("\\", "\\\\").replace('"', '\\"') + '"')
            elif char in _ATOM_ENDS:
                _drop_blank(parts)
                break
            else:
                parts.append(self._matched(_ATOM))
            blanks = self._skip_blanks()
            if keeps_blanks and blanks:
                parts.append(blanks)
        if self._peek() != "@":
            return "".join(parts)
        self._at += 1
        self._skip_blanks()
        domain = self._domain()
        return "".join((*parts, "@", domain)) if domain else ""

    def _domain(self) -> str:
        parts: list[str] = []
        while self._at < self._end:
            char = self._text[self._at]
            if char in " \t":
                self._at += 1
            elif char == "(":
                self._comments.append(self._comment())
            elif char == "[":
                parts.append(f"[{self._delimited(']')}]")
            elif char == ".":
                self._at += 1
                parts.append(".")
            elif char == "@":  # a@one.example@two.example is no address (CVE-2019-16056)
                return ""
            elif char in _ATOM_ENDS:
                break
            else:
                parts.append(self._matched(_ATOM))
        return "".join(parts)

    def _matched(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _delimited(self, end: str) -> str:
        """Text up to the end character or a line break, backslashes removed."""
        self._at += 1
        parts: list[str] = []
        while self._at < self._end:
            parts.append(self._matched(_DELIMITED_TEXT[end]))
            char = self._peek()
            self._at += 1
            if char != "\\":
                break
            parts.append(self._peek())
            self._at += 1
        self._at = min(self._at, self._end)
        return "".join(parts)

    def _comment(self) -> str:
        """Text of a comment with those within it, without their parentheses."""
        depth, parts = 0, list[str]()
        while self._at < self._end:
            char = self._text[self._at]
            self._at += 1
            if char == "(":
                depth += 1
            elif char == "\\":
                parts.append(self._peek())
                self._at = min(self._at + 1, self._end)
            else:  # ")", or the line break that ends a comment which never closes
                depth -= 1
            if not depth:
                break
            parts.append(self._matched(_COMMENT_TEXT))
        return "".join(parts)


def _drop_blank(parts: list[str]) -> None:
    if parts and not parts[-1].strip():
        parts.pop()
