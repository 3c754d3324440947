"""The truth about a demo world: parts add up at every moment and for every seed."""

from collections import Counter
from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.demo.truth import DemoTruth
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines_tests.demo.worlds import world

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@FEW
@given(seed=st.integers(0, 10_000), today=st.dates(date(2025, 1, 1), date(2028, 12, 31)), days=st.integers(0, 53))
def test_parts_never_exceed_the_whole(seed: int, today: date, days: int):
    made = generate_world(seed, today)
    truth = DemoTruth(made, made.loaded_until + timedelta(days=days - 42))
    for campaign in made.campaigns:
        counts = truth.counts(campaign.slug)
        people = truth.recipients(campaign.slug).values()
        assert counts["positive_now"] <= counts["positive"] <= counts["replied"] <= counts["delivered"]
        assert counts["delivered"] <= counts["contacted"] <= counts["messages_sent"] <= 5 * counts["contacted"]
        only_hard = sum(person.is_hard_bounced and not person.is_delivered for person in people)
        assert counts["contacted"] == counts["delivered"] + only_hard
        assert counts["soft_bounced"] + counts["replied"] + counts["auto_replied"] <= counts["delivered"]
        assert counts["opted_out"] <= counts["replied"]
        assert counts["contacted"] <= counts["recipients"]


@FEW
@given(seed=st.integers(0, 10_000), today=st.dates(date(2025, 1, 1), date(2028, 12, 31)))
def test_a_completed_campaign_is_over_before_its_end_and_within_the_loaded_part(seed: int, today: date):
    made = generate_world(seed, today)
    completed = next(campaign for campaign in made.campaigns if campaign.status == "COMPLETED")

    assert completed.ends_at is not None
    assert completed.ends_at < made.loaded_until
    assert all(fact.at < completed.ends_at for fact in made.facts if fact.campaign == completed.slug)


def test_before_the_first_day_there_is_nothing():
    made = world()
    truth = DemoTruth(made, made.loaded_until - timedelta(days=60))

    assert truth.counts("glow-serum")["contacted"] == 0
    assert truth.threads() == []


def test_a_mail_that_came_late_is_no_bounce_and_one_that_never_came_is():
    made = world()
    truth = DemoTruth(made, made.loaded_until)
    people = truth.recipients("lip-balm")
    delayed = [fact.recipient for fact in made.facts if fact.kind == "delayed" and fact.campaign == "lip-balm"]

    assert {people[key].is_soft_bounced for key in delayed} == {True, False}
    assert all(people[key].is_soft_bounced != bool(people[key].first_reply) for key in delayed)


def test_who_wrote_before_the_campaign_has_not_replied_to_it():
    made = world()
    campaign = made.campaigns[0]
    early = {
        f.recipient
        for f in made.facts
        if f.kind == "human" and f.at < campaign.starts_at and f.campaign == campaign.slug
    }
    people = DemoTruth(made, made.loaded_until).recipients(campaign.slug)

    assert early
    assert all(people[key].first_reply is None and people[key].sends <= 3 for key in early if key in people)


def test_colleagues_in_copy_are_no_replies():
    truth = DemoTruth(world(), world().loaded_until)
    copies = [thread for thread in truth.threads() if thread.message_ids and thread.newest_inbound_id is None]

    assert copies
    assert all(thread.label is None for thread in copies)


def test_paid_campaigns_count_negotiating_as_positive_and_gifting_ones_do_not():
    made = world()
    truth = DemoTruth(made, made.loaded_until)
    told = {
        campaign.campaign_type: {
            person.is_positive_now
            for person in truth.recipients(campaign.slug).values()
            if person.label == "negotiating"
        }
        for campaign in made.campaigns
    }

    assert told == {"GIFTING": {False}, "PAID_PROMOTION": {True}}


def test_a_live_edit_turns_a_broken_row_into_a_recipient():
    made = world()
    before, after = (
        DemoTruth(made, made.loaded_until + timedelta(days=days)).counts("ridge-runner") for days in (0, 10)
    )

    assert after["recipients"] == before["recipients"] + 3
    assert after["rejected"] == before["rejected"] - 1


def test_thread_labels_say_what_the_newest_person_meant():
    truth = DemoTruth(world(), world().loaded_until)
    labels = truth.thread_labels()
    meant = truth.message_labels()

    assert len(labels) > 100
    assert all(meant[message_id] == label for (_, message_id), label in labels.items())
    assert Counter(labels.values())["interested"] > 10
