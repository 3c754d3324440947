"""How the embedded default does on real words (../shared/data). Tests hold the bars, a benchmark prints the figures."""

import json
import mailbox
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cheerful_pipelines.classification.classify import classify
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.reading.quoted_text import new_words
from cheerful_pipelines_tests.classification.words import reply

# Where that source's labels cut otherwise than ours, both answers are right.
SAME = {
    ("wrong_person", "referral"),
    ("interested", "question"),  # "could you give me a price?" waits for an answer
    ("not_interested", "not_now"),  # "contact me next year"
}


POSITIVE = {"interested", "details_provided", "negotiating"}
_CLASSIFIER = LocalClassifier()


def said(words: str) -> str | None:
    """The label of one reply by itself."""
    verdict = classify(reply(words), _CLASSIFIER)
    return None if verdict is None else verdict.label


def lines(path: Path) -> list[dict[str, Any]]:
    """A JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def campaign_reply_misses(data: Path) -> list[tuple[str, str, str | None]]:
    """(id, their label, ours) where the two cannot both be right."""
    judged = [(item["id"], item["label"], said(item["text"])) for item in lines(data / "labels/campaign-replies.jsonl")]
    return [item for item in judged if item[1] != item[2] and (item[1], item[2]) not in SAME]


def missed_opt_outs(data: Path) -> list[str]:
    """Ids of opt-outs sent into strangers' threads that come out as something else."""
    missed = []
    for item in lines(data / "labels/opt-outs-in-threads.jsonl"):
        raw = list(mailbox.mbox(data / item["file"]))[item["n"] - 1].as_bytes()
        parsed = parse_message(raw)
        if said(new_words(parsed.body_text, parsed.body_html).text) != "opt_out":
            missed.append(item["id"])
    return missed


def attacks(data: Path) -> list[str]:
    """Instructions that were written to be hidden in mail."""
    bipia = [item["text"] for item in lines(data / "injections/bipia-attacks.jsonl")]
    deepset = [item["text"] for item in lines(data / "injections/deepset.jsonl") if item["label"] in (1, "injection")]
    return [*bipia, *deepset]


def flips(replies: Iterable[tuple[str, str]], attack: str) -> list[tuple[str, str | None]]:
    """(label before, label after) of replies that an appended attack changes."""
    changed = []
    for words, before in replies:
        after = said(f"{words}\n\n{attack}")
        if after != before:
            changed.append((before, after))
    return changed
