"""Rules that hold for any mail: the funnel narrows, parts make the whole, order and repetition change
nothing.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.mail.reading.models import FailedRecipient
from cheerful_pipelines.metrics.counting.compute import compute_metrics
from cheerful_pipelines.metrics.counting.consistency import (
    funnel_that_widens,
    parts_that_miss_the_whole,
    shares_out_of_bounds,
)
from cheerful_pipelines.metrics.models import (
    BounceFact,
    CampaignFacts,
    MessageFact,
    OverrideFact,
    RecipientFact,
    ThreadFact,
    VerdictFact,
)
from cheerful_pipelines_tests.builders import START

ACCOUNT = UUID(int=1)
KEYS = ["ana@creator.example", "ben@creator.example", "cem@creator.example"]
moments = st.integers(-48, 400).map(lambda hours: START + timedelta(hours=hours))
thread_keys = st.sampled_from([f"{alias}/t{n}" for alias in ("mia", "noa") for n in range(3)])
labels = st.sampled_from(["interested", "opt_out", "question", "negotiating", "not_now", "unclear"])
senders = st.sampled_from([*KEYS, "x@agency.example", "mia@brand.example"])
message_ids = st.integers(1, 12)


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignFacts:
    """Any mail at all, sensible or not, in six threads of three recipients."""
    threads = [
        ThreadFact(
            gmail_account_id=ACCOUNT,
            account_alias=key.split("/")[0],
            gmail_thread_id=key.split("/")[1],
            recipient_ids=draw(st.sampled_from([(1,), (2,), (3,), (1, 2)])),
            conversation_key=draw(st.sampled_from(["c", "d", key])),
        )
        for key in ("mia/t0", "mia/t1", "mia/t2", "noa/t0", "noa/t1", "noa/t2")
    ]
    message = st.builds(
        lambda key, number, at, ours, kind, sender, to: MessageFact(
            thread_key=key,
            account_alias=key.split("/")[0],
            message_id=number,
            rfc822_message_id=f"<{number}>",
            at=at,
            direction="ours" if ours else "theirs",
            kind="human" if ours else kind,
            is_sent=ours,
            from_key="mia@brand.example" if ours else sender,
            to_keys=tuple(to),
        ),
        thread_keys,
        message_ids,
        moments,
        st.booleans(),
        st.sampled_from(["human", "auto_reply", "out_of_office", "list"]),
        senders,
        st.sets(st.sampled_from(KEYS), min_size=1),
    )
    bounce = st.builds(
        lambda key, number, at, address, severity, named, known: BounceFact(
            thread_key=key,
            message_id=100 + number,
            at=at,
            kind="bounce" if severity == "hard" else "delayed",
            failed=(FailedRecipient(address_key=address, status=None, severity=severity, reason=""),),
            bounced_message_id=f"{number}" if named else None,
            names_stored_message=known,
        ),
        thread_keys,
        message_ids,
        moments,
        st.sampled_from([*KEYS, "z@else.example"]),
        st.sampled_from(["hard", "soft"]),
        st.booleans(),
        st.booleans(),
    )
    verdict = st.builds(
        lambda key, version, label, at, sender: VerdictFact(
            thread_key=key,
            state_version=version,
            label=label,
            confidence=0.5,
            needs_review=False,
            judged_at=at,
            judged_from_key=sender,
        ),
        thread_keys,
        st.integers(1, 4),
        labels,
        st.none() | moments,
        senders,
    )
    override = st.builds(OverrideFact, thread_key=thread_keys, label=labels)
    by_version = st.lists(verdict, max_size=8, unique_by=lambda item: (item.thread_key, item.state_version))
    return CampaignFacts(
        campaign=Campaign(
            id=UUID(int=2),
            user_id=UUID(int=3),
            slug="spring",
            name="Spring",
            status="ACTIVE",
            campaign_type=draw(st.sampled_from(["GIFTING", "PAID_PROMOTION"])),
            time_zone="Pacific/Auckland",
            starts_at=START,
            ends_at=None,
            spreadsheet_id="s",
            sheet_tab=None,
            column_mapping={},
            metrics_spreadsheet_id=None,
        ),
        read_at=START,
        our_keys=frozenset({"mia@brand.example", "noa@brand.example"}),
        recipients=tuple(
            RecipientFact(id=n, email_key=key, name=None, handle=None, sheet_row=n, is_removed=n == 3)
            for n, key in enumerate(KEYS, start=1)
        ),
        threads=tuple(threads),
        messages=tuple(draw(st.lists(message, max_size=25))),
        bounces=tuple(draw(st.lists(bounce, max_size=6))),
        verdicts=tuple(draw(by_version)),
        overrides=tuple(draw(st.lists(override, max_size=2, unique_by=lambda item: item.thread_key))),
    )


@given(campaigns())
@settings(max_examples=200, deadline=None)
def test_whatever_the_mail_says_the_numbers_hold_together(facts: CampaignFacts) -> None:
    rows = compute_metrics(facts)

    assert parts_that_miss_the_whole(rows) == []
    assert shares_out_of_bounds(rows) == []
    assert funnel_that_widens(rows) == []
    whole = {row.metric: row.value or 0 for row in rows if row.grain == "campaign"}
    assert whole["contacted"] <= whole["recipients"] + whole["recipients_removed"]
    assert whole["positive"] <= whole["replied"]
    assert whole["ooo"] <= whole["auto_replied"]


@given(campaigns(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_of_input_makes_no_difference_and_twice_is_equal(facts: CampaignFacts, random: object) -> None:
    names = ("recipients", "threads", "messages", "bounces", "verdicts", "overrides")
    shuffled = replace(
        facts,
        **{name: tuple(random.sample(getattr(facts, name), len(getattr(facts, name)))) for name in names},  # type: ignore[attr-defined]
    )

    assert compute_metrics(shuffled) == compute_metrics(facts) == compute_metrics(facts)
