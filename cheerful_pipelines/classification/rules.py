"""Deterministic text rules: which labels does a reply's own wording settle, and by which words?

The sentences stand in `rule_patterns.txt`; here is how they are read, and how the traps that look like an opt-out
are told from one. No label is decided here: `local_classifier.py` weighs what the rules found against the model.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from cheerful_pipelines.classification.normalise import fold

READ_AT_MOST = 6_000
"""Characters of the newest words that the rules read; beyond that the verdict says `truncated`."""
LONGEST_QUOTE = 200

_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|\n\s*\n|\n(?=[-*•>])")
_LOOKBEHIND = re.compile(r"\(\?<[!=][^)]*\)")  # must have a fixed width
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
    text = resources.files("cheerful_pipelines.classification").joinpath("rule_patterns.txt").read_text("utf-8")
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
            rules.append(Rule(section, name, tuple(literals.split(",")), compiled(source)))
    return Rulebook(
        rules=tuple(rules),
        bare={name: compiled("|".join(sources)) for name, sources in bare.items()},
        version=hashlib.sha256(f"{READ_AT_MOST}\n{text}".encode()).hexdigest()[:12],
    )


def compiled(source: str) -> re.Pattern[str]:
    """A pattern of the file, with its blanks (any white space) and gaps (`~`, within a sentence) spelled out."""
    spelled = _LOOKBEHIND.sub(lambda match: match.group().replace(" ", r"\s"), source).replace("~?", "~")
    spelled = spelled.replace(" ~", r"\b[^.!?]{0,40}?\b").replace("~ ", r"[^.!?]{0,40}?\s")
    spelled = spelled.replace("~", r"[^.!?]{0,40}?")
    return re.compile(spelled.replace(" ?", r"\s*").replace(" ", r"\s+"), re.MULTILINE)


def findings(normalised: str) -> list[Finding]:
    """The first match of every rule that fits, in rule order. Quoted lines (`> ...`) are not the writer's words."""
    folded = _without_quoted_lines(fold(normalised[:READ_AT_MOST]))
    found = []
    for rule in rulebook().rules:
        for literal in rule.literals:
            if literal in folded:
                break
        else:
            continue
        for match in rule.pattern.finditer(folded):
            if rule.label == "opt_out" and _is_trap(folded, match):
                continue
            found.append(Finding(rule.label, rule.name, match.start(), match.end()))
            break
    return found


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
    """Whether a word occurs without which no model may say opt_out."""
    return rulebook().bare["weak_opt_out"].search(fold(normalised[:READ_AT_MOST])) is not None


def looks_like_instructions(normalised: str) -> bool:
    """Whether the text speaks to a machine instead of to us. A review flag, never a filter."""
    return rulebook().bare["instructions"].search(fold(normalised)) is not None
