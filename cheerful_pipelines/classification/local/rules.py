"""Deterministic text rules: which labels does a reply's own wording settle, and by which words?

The sentences stand in `rule_patterns.txt`; here is how they are read, and how the traps that look like an opt-out
are told from one. No label is decided here: `local_classifier.py` weighs what the rules found against the model.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from cheerful_pipelines.classification.local.normalise import fold

READ_AT_MOST = 6_000
"""Characters of the newest words that the rules read; beyond that the verdict says `truncated`."""
LONGEST_QUOTE = 200
NOTICE = "absence_notice"
"""The section of absences that are notices even beside words that mean "later"."""
_PIECE = 3
_ANY = ""  # the piece of literals that are shorter than one

_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++(?=\s|$)|\n\s*\n|\n(?=[-*•>])")
_LOOKBEHIND = re.compile(r"\(\?<[!=][^)]{0,200}\)")  # must have a fixed width
_REPEAT = re.compile(r"(?P<what>\\.|\[(?:\\.|[^\]\\]){1,200}\]|\))(?P<sign>[*+])?(?P<next>(?=\(?[a-z]))?")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_QUOTED_LINE = re.compile(r"^>.*$", re.MULTILINE)
_BARE_SECTIONS = ("trap", "weak_opt_out", "instructions")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `rule_patterns.txt`."""

    label: str
    name: str  # "opt_out/en/3"
    literals: tuple[str, ...]
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """The whole file, compiled."""

    rules: tuple[Rule, ...]
    bare: dict[str, re.Pattern[str]]  # "trap", "weak_opt_out", "instructions"
    by_piece: dict[str, list[tuple[str, list[int]]]]  # a literal's first three letters: (literal, its rules' numbers)
    version: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fits, and where: positions in the normalised text."""

    label: str
    rule: str
    start: int
    end: int


@lru_cache(maxsize=1)
def rulebook() -> Rulebook:
    """Every rule in the order of the file, compiled once a process, on first use."""
    text = resources.files("cheerful_pipelines.classification.local").joinpath("rule_patterns.txt").read_text("utf-8")
    rules: list[Rule] = []
    bare: dict[str, list[str]] = {name: [] for name in _BARE_SECTIONS}
    section, number = "", 0
    for line in text.splitlines():
        if line.startswith("## "):
            section, number = line[3:].strip(), 0
        elif line and not line.startswith("# ") and line != "#":
            number += 1
            if section in bare:
                bare[section].append(line)
                continue
            language, literals, source = (part.strip() for part in line.split(" | ", 2))
            name = f"{section}/{language}/{number}"
            label = "out_of_office" if section == NOTICE else section
            rules.append(Rule(label, name, tuple(literals.split(",")), compiled(source)))
    numbers: dict[str, list[int]] = {}
    for position, rule in enumerate(rules):
        for literal in rule.literals:
            numbers.setdefault(literal, []).append(position)
    by_piece: dict[str, list[tuple[str, list[int]]]] = {}
    for literal, positions in numbers.items():
        by_piece.setdefault(literal[:_PIECE] if len(literal) >= _PIECE else _ANY, []).append((literal, positions))
    return Rulebook(
        rules=tuple(rules),
        by_piece=by_piece,
        bare={name: compiled("|".join(sources)) for name, sources in bare.items()},
        version=hashlib.sha256(f"{READ_AT_MOST}\n{text}".encode()).hexdigest()[:12],
    )


def compiled(source: str) -> re.Pattern[str]:
    """A pattern of the file, with its blanks (any white space) and gaps (`~`, within a sentence) spelled out."""
    spelled = _LOOKBEHIND.sub(lambda match: match.group().replace(" ", r"\s"), source).replace("~?", "~")
    spelled = spelled.replace(" ~", r"\b[^.!?]{0,40}?\b").replace("~ ", r"[^.!?]{0,40}?\s")
    spelled = spelled.replace("~", r"[^.!?]{0,40}?")
    return re.compile(_bounded(spelled.replace(" ?", r"\s*").replace(" ", r"\s+")), re.MULTILINE)


def _bounded(source: str) -> str:
    """The pattern with an upper bound on every repeat, which keeps it linear: no reply writes twenty blanks in a row
    or a word of forty letters where a rule looks. `\\W*` before a word gives nothing back, since no word begins so.
    """
    return _REPEAT.sub(_bound, source)


def _bound(found: re.Match[str]) -> str:
    what, sign = found["what"], found["sign"]
    if sign is None:  # a set in brackets whose own signs are letters, or an escaped sign
        return found[0]
    most = 8 if what == ")" else 40 if what in (r"\w", r"\S") or what.startswith("[") else 20
    gives_nothing_back = what == r"\W" and found["next"] is not None
    return f"{what}{{{1 if sign == '+' else 0},{most}}}{'+' if gives_nothing_back else ''}"


def findings(normalised: str) -> tuple[Finding, ...]:
    """The first match of every rule that fits, in rule order. Quoted lines (`> ...`) are not the writer's words."""
    return _findings(normalised[:READ_AT_MOST])


@lru_cache(maxsize=8)  # classifier, guard and flags ask for the same words one after the other
def _findings(normalised: str) -> tuple[Finding, ...]:
    folded = _without_quoted_lines(fold(normalised))
    found = []
    for rule in _worth_trying(folded):
        for match in rule.pattern.finditer(folded):
            if rule.label == "opt_out" and _is_trap(folded, match):
                continue
            found.append(Finding(rule.label, rule.name, match.start(), match.end()))
            break
    return tuple(found)


def _worth_trying(folded: str) -> list[Rule]:
    """The rules one of whose literals occurs, in rule order. By the texts' three-letter pieces: most rules are never
    looked at, which is most of the speed.
    """
    book = rulebook()
    pieces = {_ANY, *(folded[at : at + _PIECE] for at in range(len(folded) - _PIECE + 1))}
    hits = {
        number
        for piece in book.by_piece.keys() & pieces
        for literal, numbers in book.by_piece[piece]
        if literal in folded
        for number in numbers
    }
    return [book.rules[number] for number in sorted(hits)]


def _without_quoted_lines(folded: str) -> str:
    if ">" not in folded:
        return folded
    return _QUOTED_LINE.sub(lambda match: " " * len(match.group()), folded)


def _is_trap(folded: str, match: re.Match[str]) -> bool:
    start, end = sentence_around(folded, match.start(), match.end())
    return rulebook().bare["trap"].search(folded, start, end) is not None


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Bounds of the sentence or sentences that hold a span."""
    first, last = 0, len(text)
    for boundary in _SENTENCE_END.finditer(text):
        if boundary.end() <= start:
            first = boundary.end()
        elif boundary.start() >= end - 1:
            last = boundary.end()
            break
    return first, max(last, end)


def quote_of(normalised: str, finding: Finding) -> str:
    """The sentence that a finding stands in, or its own words where the sentence is long."""
    start, end = sentence_around(normalised, finding.start, finding.end)
    sentence = normalised[start:end].strip()
    if len(sentence) <= LONGEST_QUOTE:
        return sentence
    return normalised[finding.start : finding.end].strip()[:LONGEST_QUOTE].strip()


def speaks_of_leaving(normalised: str) -> bool:
    """Whether a word occurs without which no model may say opt_out, and nothing that only looks like one."""
    folded = fold(normalised[:READ_AT_MOST])
    bare = rulebook().bare
    return bare["weak_opt_out"].search(folded) is not None and bare["trap"].search(folded) is None


def without_instructions(normalised: str) -> str:
    """The text without what speaks to a machine: from such a sentence to the end of its paragraph nothing is read.

    What a person wrote before it, and the other paragraphs, stay. Opt-outs are looked for in the whole text.
    """
    if not looks_like_instructions(normalised):
        return normalised
    pattern = rulebook().bare["instructions"]
    kept = []
    for paragraph in _PARAGRAPHS.split(normalised):
        found = pattern.search(fold(paragraph))
        start = len(paragraph) if found is None else sentence_around(paragraph, found.start(), found.end())[0]
        kept.append(paragraph[:start])
    return "\n\n".join(part for part in kept if part.strip())


@lru_cache(maxsize=8)
def looks_like_instructions(normalised: str) -> bool:
    """Whether the text speaks to a machine instead of to us. A review flag, never a filter."""
    return rulebook().bare["instructions"].search(fold(normalised)) is not None
