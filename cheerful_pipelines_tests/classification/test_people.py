"""People correct, review and are asked: overrides by command and by sheet, the queue, suggested statuses."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.classification.drift import LabelMix, stability_index, warning
from cheerful_pipelines.classification.labels.creator_status import all_statuses, status_after, suggested_status
from cheerful_pipelines.classification.labels.label_changes import changes_as_markdown, label_changes
from cheerful_pipelines.classification.labels.table import LABELS as TABLE
from cheerful_pipelines.classification.labels.table import SHOWN_LABELS
from cheerful_pipelines.classification.models import EffectiveLabel, Override
from cheerful_pipelines.classification.overrides.overrides_in_sheet import label_of, read_words, titles, wishes
from cheerful_pipelines.classification.review import ReviewItem, queue, queue_as_markdown

ACCOUNT = UUID(int=1)
LABELS = [item.name for item in TABLE]
NOW = datetime(2026, 11, 2, tzinfo=UTC)


def said(
    label: str, *, source: str = "sheet", reason: str = "Set in the client's sheet.", revoked: bool = False
) -> Override:
    return Override(
        gmail_account_id=ACCOUNT, account="mia", gmail_thread_id="t1", label=label, author="a", reason=reason,  # type: ignore[arg-type]
        source=source, created_at=NOW, revoked_at=NOW if revoked else None,  # type: ignore[arg-type]
    )  # fmt: skip


def sheet(*rows: tuple[object, ...]) -> list[list[object]]:
    return [["Key", "Creator", "Override", "Override reason"], *map(list, rows)]


def test_labels_are_read_by_name_or_title():
    for title in titles():
        assert label_of(title.upper()) == title.replace(" ", "_")
    assert label_of("  Not   Interested ") == "not_interested"
    assert label_of("perhaps") is None
    assert {label_of(label.title) for label in SHOWN_LABELS} == set(LABELS)  # what the tab itself shows


def test_a_cell_that_is_no_label_is_named_by_row_and_not_repeated():
    words, problems = read_words(sheet(("mia/t1", "Ana", "yes of course", "")), "Key")

    assert words == []
    assert problems[0].row == 2
    assert "yes of course" not in problems[0].words
    assert "not interested" in problems[0].words


def test_columns_may_stand_anywhere_and_be_missing():
    moved: list[list[object]] = [["note"], [], ["Override", "x", "Key"], ["question", 1, "mia/t1"]]

    assert read_words(moved, "Key")[0][0].label == "question"
    assert read_words([["Key", "Creator"], ["mia/t1", "Ana"]], "Key") == ([], [])


def wanted(cell: str, *overrides: Override, reason: str = "") -> list[tuple[str | None, str]]:
    words, _ = read_words(sheet(("mia/t1", "Ana", cell, reason)), "Key")
    return [(wish.label, wish.reason) for wish in wishes(words, overrides)]


def test_a_new_word_is_taken_once():
    assert wanted("question") == [("question", "Set in the client's sheet.")]
    assert wanted("question", said("question")) == []


def test_an_emptied_cell_takes_back_only_what_the_sheet_said():
    assert wanted("", said("question")) == [(None, "")]
    assert wanted("", said("question", source="command")) == []
    assert wanted("") == []


def test_a_later_word_by_command_stands_until_the_cell_changes():
    history = [said("question", revoked=True), said("opt_out", source="command", reason="phone")]

    assert wanted("question", *history) == []
    assert wanted("interested", *history) == [("interested", "Set in the client's sheet.")]


def test_a_cell_emptied_and_filled_again_counts_again():
    assert wanted("question", said("question", revoked=True)) == [("question", "Set in the client's sheet.")]


def test_a_changed_reason_is_news():
    assert wanted("question", said("question"), reason="she called") == [("question", "she called")]


@given(st.lists(st.tuples(st.sampled_from(["", "question", "opt out", "nonsense"]), st.booleans()), max_size=8))
def test_looking_twice_never_changes_anything_more(cells: list[tuple[str, bool]]):
    history: list[Override] = []
    for cell, by_command in cells:
        for _ in range(2):
            words, _ = read_words(sheet(("mia/t1", "Ana", cell, "")), "Key")
            found = wishes(words, history)
            for wish in found:
                history = [item.model_copy(update={"revoked_at": item.revoked_at or NOW}) for item in history]
                if wish.label is not None:
                    history.append(said(wish.label, reason=wish.reason))
        assert wishes(read_words(sheet(("mia/t1", "Ana", cell, "")), "Key")[0], history) == []
        if by_command:
            history = [item.model_copy(update={"revoked_at": item.revoked_at or NOW}) for item in history]
            history.append(said("interested", source="command"))


def item(label: str, hours: int = 0, **changed: Any) -> ReviewItem:
    values = {
        "gmail_account_id": ACCOUNT, "account": "mia", "gmail_thread_id": f"t{hours}", "label": label,
        "confidence": 0.4, "rationale": "", "flags": {}, "has_rate": False, "has_address": False,
        "last_message_at": NOW.replace(hour=hours), **changed,
    }  # fmt: skip
    return ReviewItem.model_validate(values)


def test_the_queue_begins_with_what_may_be_an_opt_out_and_then_what_would_be_shipped():
    entries = queue(
        [
            item("unclear", 1),
            item("interested", 2),
            item("details_provided", 3),
            item("interested", 4, rationale="Perhaps an opt-out, which no rule confirms; else: interested."),
            item("interested", 5, flags={"suspicious_instructions": True}),
            item("negotiating", 6),
        ]
    )

    assert [entry.item.gmail_thread_id for entry in entries] == ["t4", "t5", "t3", "t6", "t2", "t1"]
    assert "may be an opt-out" in queue_as_markdown(entries)
    assert queue_as_markdown([]) == "nobody needs to look at anything"


def test_within_a_stake_the_oldest_comes_first():
    assert [entry.item.gmail_thread_id for entry in queue([item("unclear", 9), item("unclear", 3)])] == ["t3", "t9"]


_STEPS = st.tuples(st.sampled_from(LABELS), st.fixed_dictionaries({"address_complete": st.booleans()}))
_RANK = {"CONTACTED": 0, "UNRESPONSIVE": 0, "PENDING_DETAILS": 1, "DECLINED": 1, "SKIPPED": 1, "READY_TO_SHIP": 2,
         "ORDERED": 3, "OPTED_OUT": 4}  # fmt: skip


@given(st.sampled_from(all_statuses()), st.lists(_STEPS, max_size=12))
def test_a_suggestion_never_moves_backwards_and_never_leaves_opted_out(
    begins: Any, steps: list[tuple[str, dict[str, Any]]]
):
    status = begins
    for label, flags in steps:
        following = suggested_status(status, label, flags)
        assert _RANK[following] >= _RANK[status]
        assert status != "OPTED_OUT" or following == "OPTED_OUT"
        assert following != "ORDERED" or status == "ORDERED"
        status = following
    assert status_after(steps, begins=begins) == status


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        (["interested"], "PENDING_DETAILS"),
        (["interested", "opt_out", "interested"], "OPTED_OUT"),
        (["not_interested", "interested"], "PENDING_DETAILS"),
        (["out_of_office"], "CONTACTED"),
        (["bounce"], "SKIPPED"),
    ],
)
def test_statuses_follow_the_labels(labels: list[str], status: str):
    assert status_after([(label, {}) for label in labels]) == status


def test_only_a_complete_address_makes_ready_to_ship():
    assert suggested_status("PENDING_DETAILS", "details_provided", {}) == "PENDING_DETAILS"
    assert suggested_status("PENDING_DETAILS", "details_provided", {"address_complete": True}) == "READY_TO_SHIP"


def effective(thread: str, label: str, state: int) -> EffectiveLabel:
    return EffectiveLabel(
        gmail_account_id=ACCOUNT, gmail_thread_id=thread, label=label, is_override=False, confidence=1.0,  # type: ignore[arg-type]
        needs_review=False, thread_state_id=state,
    )  # fmt: skip


def test_changes_tell_new_mail_from_another_judgement():
    before = [effective("t1", "interested", 1), effective("t2", "question", 2), effective("t3", "unclear", 3)]
    after = [effective("t1", "question", 1), effective("t2", "interested", 9), effective("t3", "unclear", 3),
             effective("t4", "unclear", 4)]  # fmt: skip

    changes = label_changes(before, after)

    assert [(change.gmail_thread_id, change.is_same_mail) for change in changes] == [("t1", True), ("t2", False)]
    assert "| interested | question | judged otherwise | 1 |" in changes_as_markdown(changes)
    assert changes_as_markdown([]) == "no label changed"


def test_drift_is_silent_on_few_and_speaks_up_on_a_new_mix():
    usual = {"interested": 400, "question": 300, "not_interested": 300}

    assert warning(LabelMix(recent={"unclear": 20}, earlier=usual)) is None
    assert warning(LabelMix(recent={"interested": 40, "question": 30, "not_interested": 30}, earlier=usual)) is None
    assert warning(LabelMix(recent={"unclear": 90, "interested": 10}, earlier=usual)) is not None


@given(
    st.dictionaries(st.sampled_from(LABELS), st.integers(0, 500)),
    st.dictionaries(st.sampled_from(LABELS), st.integers(0, 500)),
)
def test_the_index_is_never_negative_and_nothing_against_itself(recent: dict[str, int], earlier: dict[str, int]):
    assert stability_index(recent, earlier) >= -1e-12
    assert stability_index(recent, recent) == pytest.approx(0)
