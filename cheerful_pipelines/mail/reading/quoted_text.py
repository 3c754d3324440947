"""The writer's own new words: without the quoted history and the signature. Pure, linear in the length of the body.

Forwarded content is kept: a creator who forwards to her agency sends it on purpose. The result is never empty where
the body had words. HTML structure is read in `quoted_html.py`; the languages stand in `quote_phrases.py`.

Why not a library: on ../shared/data/quotes the best one (mail-parser-reply 1.36) gives fewer exact replies than this
file, and its patterns backtrack (`benchmarks/threads_on_real_mail.py` prints both).
"""

import re
from dataclasses import dataclass

from cheerful_pipelines.mail.html_text import html_to_text
from cheerful_pipelines.mail.reading import quote_phrases as phrases
from cheerful_pipelines.mail.reading.quoted_html import html_without_quotation

_LONGEST_BODY = 300_000
"""So many characters of a text are read: some fifty thousand words. The raw mail keeps all of it."""
_LONGEST_LINE = 2_000
"""Patterns look at this much of a line; no header of a quotation is longer."""
_LONGEST_HEADER = 600
_HEADER_WINDOW = 5
"""'On ... wrote:' is spread over at most so many lines."""
_HEADER_BLOCK = 12
"""From, Sent, To, Subject stand within so many lines."""


def _any_of(words: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
_ORIGINAL = re.compile(
    rf"^[\s*]*+[-_=]{{2,}}+\s*+(?:{_any_of(phrases.ORIGINAL_MESSAGE)})\s*+(?::\s*+)?[-_=]{{2,}}", re.I
)
_FORWARDED = re.compile(
    rf"^[\s>*]*+(?:[-_=]{{2,}}+\s*+)?(?:{_any_of(phrases.FORWARDED_MESSAGE)})[^a-z]{{0,3}}\s*+(?:[-_=]{{2,}}|:?\s*+$)",
    re.I,
)
_WROTE_START = re.compile(
    rf"^[\s>]*+[-–—]*+\s*+(?:(?:{_any_of(phrases.WROTE_OPENERS)})\b|\d|(?:{_any_of(phrases.WEEKDAYS)})\.?,?\s)",
    re.I,
)
_WROTE_OPENER = re.compile(rf"^\s*(?:{_any_of(phrases.WROTE_OPENERS)})\s", re.I)
_VERB = re.compile(rf"(?:\b|\s|\d)(?:{_any_of(phrases.WROTE_VERBS)})", re.I)
_DASHED_WROTE = re.compile(rf"^\s*+-{{2,}}+.*\b(?:{_any_of(phrases.WROTE_VERBS)})\s*+(?::\s*+)?-{{2,}}+\s*+$", re.I)
_DATE_ADDRESS = re.compile(
    r"^\s*+(?:\w{2,10}\.?,?\s)?\s*+\d{1,4}[\s./-]++\w{1,10}[\s./-]++\d{1,4}\b.*<[^<>@]*+@[^<>]*+>\s*+(?::\s*+)?$"
)
_SHARED_LINE = re.compile(r"^(?P<own>\s*+\S.*?)(?<=\s)On (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .{6,200}\bwrote:\s*+$")
_DIGITS = re.compile(r"\d+")
_ROLE = re.compile(
    r"^[\s>]*+(?:\*\s*+)?(?:"
    + "|".join(f"(?P<{role}>{_any_of(words)})" for role, words in phrases.HEADER_ROLES.items())
    + r")\s*+(?:\*\s*+)?[:：]",
    re.I,
)
_QUOTED = re.compile(r"^\s*>")
_NOT_QUOTED = re.compile(r"^\s*+>++.*<<\s*+$|^\s*+-++>")
_BROKEN_LINK = re.compile(r"^\s*+(?:\(?<?https?://\S.*+|\S++(?<=\S[)>]))\s*+$")
_RULE = re.compile(r"^\s*(?:[-_=*–—]\s?){3,}\s*$")
_WORD = re.compile(r"\w")
_WRITTEN = re.compile(r"\w|[\u2190-\U0010ffff]|\.\.\.|:-?\)")  # a lone emoji or "..." is an answer too

_SENT_FROM = re.compile(rf"^\s*(?:{_any_of(phrases.SENT_FROM)})\b", re.I)
_DEVICE = re.compile(rf"(?:{_any_of(phrases.DEVICE_WORDS)})", re.I)
_CLOSING = re.compile(rf"^\s*+(?:{_any_of(phrases.CLOSINGS)})\s*+[,.!]*+\s*+$", re.I)
_DELIMITER = re.compile(r"^\s*(?:--|—|––)\s*$")
_LONG_DELIMITER = re.compile(r"^\s*(?:-{3,5}|_{3,5})\s*$")
_DASH_NAME = re.compile(r"^\s*-[^\W\d_][\w.]*(?:\s[^\W\d_][\w.]*){0,2}\s*$")
_LIST_FOOTER = re.compile(r"^\s*_{20,}\s*$")
_LONGEST_SIGNATURE = 12
_LONGEST_CLOSING = 4


@dataclass(frozen=True)
class NewWords:
    """`text` is what was written; `only_quotation` says that all of it is marked as quoted: nothing new in it.

    `forwards` says that a forwarded mail stands in it, from its mark to the end.
    """

    text: str
    only_quotation: bool = False
    forwards: bool = False


def new_words(body_text: str, body_html: str | None = None) -> NewWords:
    """The writer's words of one body. `body_html` is looked at where there is no other text than its own.

    Never empty where the body has words: what would be stripped to nothing comes back whole.
    """
    whole = tidy(body_text[:_LONGEST_BODY])
    marked = False
    if body_html and (not _WORD.search(whole) or body_text == html_to_text(body_html)):
        html = html_without_quotation(body_html)
        whole, marked = tidy(html.text), html.only_quotation
        if not _WORD.search(whole):
            return NewWords(text="")
    if marked:
        return NewWords(text=whole, only_quotation=True)
    own = without_quotation(whole)
    if not _WRITTEN.search(own):
        return NewWords(text=whole.strip(), only_quotation=_only_marked_quotation(whole))
    return NewWords(text=without_signature(own), forwards=_has_forwarded(own.split("\n")))


def tidy(text: str) -> str:
    """Line ends as \\n, no invisible characters, no white space at line ends."""
    text = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " "))
    return "\n".join(line.rstrip() for line in text.split("\n"))


# --- quotation ----------------------------------------------------------------------------------------------------


def without_quotation(text: str) -> str:
    """Tidy text without quoted history; may be empty. What follows a forwarding mark is kept as it stands."""
    lines = text.split("\n")
    body = _Body(lines)
    short = body.lines
    kept: list[str] = []
    i = 0
    while i < len(lines):
        if _FORWARDED.match(short[i]) and not _QUOTED.match(short[i]):
            kept.extend(lines[i:])
            break
        shared = _SHARED_LINE.match(short[i])
        after = i + 1 if shared else _splitter_end(body, i)
        if after is not None:
            if shared:
                kept.append(shared["own"].rstrip("- \t"))
            resumed = _after_quoted_run(short, after)
            if resumed is None:
                break
            i = resumed
        elif _is_quoted(short[i]):
            i = _after_quoted_run(short, i) or len(lines)
        else:
            kept.append(lines[i])
            i += 1
    return _without_trailing_rules(kept)


class _Body:
    """The lines of a body, cut to a readable length, and what is asked of each line again and again."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [line[:_LONGEST_LINE] for line in lines]
        self.roles = [_role(line) for line in self.lines]
        self.ends_in_colon = [line.rstrip().endswith((":", "：")) for line in self.lines]


def _splitter_end(body: _Body, i: int) -> int | None:
    """Index after the lines that open a quotation at `i`, or None where none opens."""
    line = body.lines[i]
    if not line.strip() or _is_quoted(line):
        return None
    if _ORIGINAL.match(line) or _DASHED_WROTE.match(line):
        return i + 1
    if _DATE_ADDRESS.match(line) and (body.ends_in_colon[i] or _next_is_quoted(body.lines, i + 1)):
        return i + 1
    if body.roles[i] is not None and _opens_header_block(body, i):
        return _header_block_end(body, i)
    if any(body.ends_in_colon[i : i + _HEADER_WINDOW]) and _WROTE_START.match(line):
        return _wrote_end(body, i)
    return None


def _wrote_end(body: _Body, i: int) -> int | None:
    """'On <date>, <somebody> wrote:' on one line or wrapped over a few; None where it begins further down."""
    end = _wrote_span(body, i)
    if end is None:
        return None
    # "On Monday we can ship.\nOn 5 Oct Mia wrote:": the first line is the writer's own.
    later = (j for j in range(i + 1, end) if _WROTE_OPENER.match(body.lines[j]))
    return None if any(_wrote_span(body, j) is not None for j in later) else end


def _wrote_span(body: _Body, i: int) -> int | None:
    joined = ""
    for j in range(i, min(i + _HEADER_WINDOW, len(body.lines))):
        line = body.lines[j]
        if j > i and _is_quoted(line) and not line.strip().lower().startswith("> wrote"):
            return None
        joined = f"{joined} {line.strip()}"
        if len(joined) > _LONGEST_HEADER:
            return None
        if not body.ends_in_colon[j]:
            continue
        # After the last colon but the closing one, so that 10:12 does not count: "12 AM Mia wrote".
        if _VERB.search(re.split("[:：]", joined.rstrip()[-200:-1])[-1]):
            # A date has at least two numbers; an address alone is as good ("Sent from X <a@b> wrote:").
            return j + 1 if len(_DIGITS.findall(joined)) >= 2 or "@" in joined else None
        if _DATE_ADDRESS.match(joined.strip()):
            return j + 1
    return None


def _opens_header_block(body: _Body, i: int) -> bool:
    """From/Sent/To/Subject under each other: at least two roles, and an address or a subject."""
    roles = {body.roles[i]}
    address = "@" in body.lines[i]
    gap = 0
    for j in range(i + 1, min(i + _HEADER_BLOCK, len(body.lines))):
        has_address = "@" in body.lines[j]
        if body.roles[j] is not None:
            roles.add(body.roles[j])
            address = address or has_address
            gap = 0
        else:
            gap += 1
            address = address or (gap == 1 and has_address)
            if gap > 2:
                break
    if len(roles) < 2 or not roles & {"from", "date"}:
        return False
    # "From: Toronto, To: Lisbon, Date: 5 May" is a travel plan; a mail has an address or a subject.
    return address or (len(roles) >= 3 and "subject" in roles)


def _header_block_end(body: _Body, i: int) -> int:
    last = min(i + _HEADER_BLOCK, len(body.lines))
    return max(j for j in range(i, last) if body.roles[j] is not None) + 1


def _role(line: str) -> str | None:
    if ":" not in line[:60] and "：" not in line[:60]:
        return None
    found = _ROLE.match(line)
    return found.lastgroup if found else None


def _is_quoted(line: str) -> bool:
    line = line[:_LONGEST_LINE]
    return _QUOTED.match(line) is not None and _NOT_QUOTED.match(line) is None


def _next_is_quoted(lines: list[str], i: int) -> bool:
    following = next((line for line in lines[i : i + 3] if line.strip()), "")
    return _is_quoted(following)


def _after_quoted_run(lines: list[str], i: int) -> int | None:
    """First line after a run of '>' lines that starts at `i` (blank lines before it allowed).

    None: no '>' run there, so everything that follows is quotation.
    """
    j = i
    while j < len(lines) and not lines[j].strip():
        j += 1
    if j >= len(lines) or not _is_quoted(lines[j]):
        return None
    while j < len(lines) and (
        _is_quoted(lines[j]) or (_BROKEN_LINK.match(lines[j]) is not None and _is_link_between(lines, j))
    ):
        j += 1
    return j


def _is_link_between(lines: list[str], j: int) -> bool:
    """A link that a mail program broke out of the '>' lines: quoted text stands on both sides."""
    return j + 1 < len(lines) and _is_quoted(lines[j + 1])


def _without_trailing_rules(lines: list[str]) -> str:
    end = len(lines)
    while end and (not lines[end - 1].strip() or _RULE.match(lines[end - 1][:_LONGEST_LINE])):
        end -= 1
    return "\n".join(lines[:end]).strip("\n").rstrip()


def _has_forwarded(lines: list[str]) -> bool:
    return any(_FORWARDED.match(line[:_LONGEST_LINE]) for line in lines)


def _only_marked_quotation(text: str) -> bool:
    """Every line with words is a '>' line or the header above one: certainly nothing new."""
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    after = _splitter_end(_Body(lines), start)
    rest = lines[after if after is not None else start :]
    return any(_is_quoted(line) for line in rest) and all(_is_quoted(line) or not _WORD.search(line) for line in rest)


# --- signature ----------------------------------------------------------------------------------------------------


def without_signature(text: str) -> str:
    """Text without its signature; never empty where the text has words. A forwarded mail is left alone.

    Cautious on purpose: a line with digits after a closing may be the postal address that we asked for.
    """
    lines = text.split("\n")
    if _has_forwarded(lines):
        return text.strip("\n").rstrip()
    kept = _without_list_footer(lines)
    for cut in (_cut_delimiter, _cut_sent_from, _cut_closing, _cut_sent_from):
        shorter = cut(kept)
        if any(_WORD.search(line) for line in shorter):
            kept = shorter
    return "\n".join(kept).strip("\n").rstrip()


def _without_list_footer(lines: list[str]) -> list[str]:
    for i, line in enumerate(lines):
        if _LIST_FOOTER.match(line) and "list" in " ".join(lines[i + 1 : i + 3]).lower():
            return lines[:i] if any(_WORD.search(other) for other in lines[:i]) else lines
    return lines


def _cut_delimiter(lines: list[str]) -> list[str]:
    filled = [i for i, line in enumerate(lines) if line.strip()]
    for i in filled[-(_LONGEST_SIGNATURE + 1) :]:
        if i and (_DELIMITER.match(lines[i]) or (_LONG_DELIMITER.match(lines[i]) and _is_short_tail(lines[i + 1 :]))):
            return lines[:i]
    return lines


def _cut_sent_from(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and (not lines[end - 1].strip() or _is_sent_from(lines[end - 1])):
        end -= 1
    return lines[:end]


def _is_sent_from(line: str) -> bool:
    line = line[:_LONGEST_LINE]
    if _SENT_FROM.match(line) is None or "," in line:
        return False
    return len(line.split()) <= 14 and _DEVICE.search(line) is not None


def _cut_closing(lines: list[str]) -> list[str]:
    filled = [i for i, line in enumerate(lines) if line.strip()]
    for i in filled[-(_LONGEST_CLOSING + 1) :]:
        if i == filled[0]:
            continue
        line = lines[i][:_LONGEST_LINE]
        if _CLOSING.match(line) and _is_short_tail(lines[i + 1 :]):
            return lines[:i]
        if i == filled[-1] and _DASH_NAME.match(line) and not lines[i - 1].lstrip().startswith("-"):
            above = next((item for item in reversed(lines[:i]) if item.strip()), "")
            return lines if above.rstrip().endswith(":") else lines[:i]
    return lines


def _is_short_tail(tail: list[str]) -> bool:
    filled = [line for line in tail if line.strip()]
    return len(filled) <= _LONGEST_CLOSING and not any(
        len(line) > 60 or "?" in line or _DIGITS.search(line) or len(line.split()) > 8 for line in filled
    )
