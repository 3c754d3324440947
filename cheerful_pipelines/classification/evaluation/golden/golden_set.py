"""Reads the golden set and its split lock. No dagster, no SQL, no network.

`conversations.jsonl` holds one case a line; `split.lock.json` says for each case which half it is in and the hash of
its content, so that no case can be edited, moved or dropped unseen. Rules, training utterances and thresholds may be
shaped on the development half only; figures are published on the test half. `python -m ...golden.golden_set --lock`
adds new cases to the lock and refuses to touch those that are in it.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.classification.models import Conversation, ConversationMessage
from cheerful_pipelines.mail.reading.quoted_text import new_words

HERE = Path(__file__).parent
CASES = HERE / "conversations.jsonl"
LOCK = HERE / "split.lock.json"
ATTACKS = HERE / "attacks.jsonl"

Half = Literal["development", "test"]
_BEGAN = datetime(2026, 11, 2, 9, tzinfo=UTC)


class GoldenTurn(BaseModel):
    """One message of a case, with its quoted history where it has some."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    direction: Literal["ours", "theirs"]
    kind: str
    body: str


class GoldenCase(BaseModel):
    """A conversation and the label that a careful reader gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    label: Label
    language: Literal["en", "es", "pt", "fr", "de"]
    is_hostile: bool
    provenance: str
    turns: tuple[GoldenTurn, ...]

    @property
    def content_hash(self) -> str:
        """Of everything in the case."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def conversation(self, *, appended: str = "") -> Conversation:
        """As a classifier sees it: quoted history taken off. `appended` goes below the newest human words."""
        newest = max(
            (n for n, turn in enumerate(self.turns) if turn.direction == "theirs" and turn.kind == "human"), default=-1
        )
        return Conversation(
            messages=tuple(
                ConversationMessage(
                    direction=turn.direction,
                    kind=turn.kind,
                    at=_BEGAN + timedelta(hours=number),
                    subject="Re: A gift for you",
                    new_words=new_words(turn.body, None).text + (appended if number == newest else ""),
                )
                for number, turn in enumerate(self.turns)
            )
        )


@lru_cache(maxsize=1)
def golden_cases() -> tuple[GoldenCase, ...]:
    """Every case, in file order."""
    return tuple(GoldenCase.model_validate_json(line) for line in CASES.read_text("utf-8").splitlines())


def golden_half(half: Half) -> list[GoldenCase]:
    """The cases of one half. Raises ValueError where cases and lock disagree."""
    locked = _locked()
    wrong = disagreements(golden_cases(), locked)
    if wrong:
        raise ValueError(f"The golden set and its lock disagree: {', '.join(wrong[:5])}. Add cases with --lock.")
    return [case for case in golden_cases() if locked[case.id]["half"] == half]


def disagreements(cases: Sequence[GoldenCase], locked: dict[str, dict[str, str]]) -> list[str]:
    """Ids of cases that are not locked, were edited since, or are locked and gone."""
    found = [case.id for case in cases if locked.get(case.id, {}).get("sha256") != case.content_hash]
    return found + sorted(locked.keys() - {case.id for case in cases})


def golden_attacks() -> list[str]:
    """Texts that try to talk a classifier into something; written for this project."""
    return [str(json.loads(line)["text"]) for line in ATTACKS.read_text("utf-8").splitlines()]


def golden_version() -> str:
    """Hash of cases, split and attacks: part of every evaluation."""
    digest = hashlib.sha256()
    for path in (CASES, LOCK, ATTACKS):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _locked() -> dict[str, dict[str, str]]:
    return dict(json.loads(LOCK.read_text("utf-8"))) if LOCK.exists() else {}


def with_new_cases(cases: Sequence[GoldenCase], locked: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The lock with the cases that are not in it, each put into the smaller half of its label and language.

    Raises ValueError where a locked case was edited or dropped.
    """
    edited = [name for name in disagreements(cases, locked) if name in locked]
    if edited:
        raise ValueError(f"These cases are locked and were changed: {', '.join(edited)}. Give the new text a new id.")
    result = dict(locked)
    sizes = Counter((case.label, case.language, locked[case.id]["half"]) for case in cases if case.id in locked)
    for case in sorted(cases, key=lambda item: item.content_hash):  # by hash: nobody chooses
        if case.id in result:
            continue
        halves: tuple[Half, Half] = (
            ("development", "test") if int(case.content_hash, 16) % 2 else ("test", "development")
        )
        half = min(halves, key=lambda name: sizes[case.label, case.language, name])
        sizes[case.label, case.language, half] += 1
        result[case.id] = {"half": half, "sha256": case.content_hash}
    return dict(sorted(result.items()))


def main(arguments: Sequence[str] | None = None) -> None:
    """`--lock`: add new cases. Otherwise: say whether cases and lock agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true")
    if parser.parse_args(arguments).lock:
        lock = with_new_cases(golden_cases(), _locked())
        LOCK.write_text(json.dumps(lock, indent=1) + "\n", encoding="utf-8")
    halves = {half: len(golden_half(half)) for half in ("development", "test")}
    sys.stdout.write(f"{halves}\n")


if __name__ == "__main__":
    main()
