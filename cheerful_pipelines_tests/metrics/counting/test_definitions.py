"""Each definition on a campaign so small that the right number can be counted by hand."""

import pytest

from cheerful_pipelines.metrics.counting.definitions import (
    BY_KEY,
    DEFINITIONS,
    HEADLINE,
    VENDOR_DEFINITIONS,
)
from cheerful_pipelines.metrics.counting.outcomes import bare_id
from cheerful_pipelines.metrics.models import MetricRow
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.metrics.scenario import Scenario


@pytest.fixture
def scenario(database: Database) -> Scenario:
    return Scenario(database)


def test_a_campaign_without_mail_has_recipients_and_no_rates(scenario: Scenario) -> None:
    scenario.recipient("ana@creator.example")
    scenario.recipient("ben@creator.example", removed=True)

    numbers = scenario.numbers_of()

    assert numbers["recipients"] == 1
    assert numbers["recipients_removed"] == 1
    assert numbers["contacted"] == 0
    assert numbers["reply_rate"] is None
    assert numbers["median_hours_to_first_reply"] is None


def test_a_reply_counts_the_recipient_once_however_often_they_write(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="question")
    thread.sent(day=1.5)
    thread.reply(day=2, label="interested")

    numbers = scenario.numbers_of()

    assert (numbers["messages_sent"], numbers["contacted"], numbers["replied"]) == (2, 1, 1)
    assert (numbers["questions"], numbers["positive"], numbers["reply_rate"]) == (1, 1, 1.0)
    assert numbers["label_interested"] == 1
    assert numbers["label_question"] == 0
    assert numbers["median_hours_to_first_reply"] == 24
    assert numbers["median_hours_our_response"] == 12


def test_what_happened_with_a_removed_recipient_stays_counted(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example", removed=True))
    thread.sent(day=0)
    thread.reply(day=1)

    assert scenario.numbers_of()["replied"] == 1


def test_mail_from_before_the_campaign_is_not_sent_for_it(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=-30)

    assert scenario.numbers_of()["messages_sent"] == 0


def test_drafts_and_mail_to_others_and_mail_of_other_mailboxes_are_no_sends(database: Database) -> None:
    scenario = Scenario(database, senders=("mia",))
    ana = scenario.recipient("ana@creator.example")
    outsider = Scenario(database, senders=("zoe",), slug="other").accounts["zoe"]
    scenario.accounts["zoe"] = outsider
    thread = scenario.thread(ana)
    thread.sent(day=0, label_ids=["DRAFT"])
    thread.sent(day=1, to_keys=["boss@brand.example"])
    scenario.thread(ana, sender="zoe").sent(day=2)

    assert scenario.numbers_of()["contacted"] == 0


def test_a_sent_mail_that_was_deleted_later_was_still_sent(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0, label_ids=["SENT", "TRASH"])

    assert scenario.numbers_of()["contacted"] == 1


def test_the_same_mail_in_two_mailboxes_counts_once(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    first, second = (
        scenario.thread(ana, conversation="c"),
        scenario.thread(ana, sender="noa", conversation="c"),
    )
    mail = first.sent(day=0, to_keys=["ana@creator.example", "noa@brand.example"])
    second.sent(day=0, message_id=mail, label_ids=["INBOX"], from_key="mia@brand.example")
    answer = first.reply(day=1)
    second.reply(day=1, message_id=answer)

    numbers = scenario.numbers_of()

    assert (numbers["messages_sent"], numbers["contacted"], numbers["replied"]) == (1, 1, 1)
    assert scenario.parts("sender", "messages_sent") == {"mia": 1}


def test_mail_among_ourselves_is_no_reply(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, sender="noa@brand.example")

    assert scenario.numbers_of()["replied"] == 0


def test_a_reply_from_another_address_counts(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, sender="ana@agency.example")
    thread.sent(day=2, to_keys=["ana@agency.example"])

    numbers = scenario.numbers_of()

    assert (numbers["replied"], numbers["messages_sent"]) == (1, 2)


def test_mail_that_came_before_our_first_is_no_reply(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.reply(day=-0.5, label="interested")
    thread.sent(day=0)

    numbers = scenario.numbers_of()

    assert (numbers["contacted"], numbers["replied"], numbers["positive"]) == (1, 0, 0)


def test_two_threads_of_one_recipient_are_one_recipient(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    first, second = scenario.thread(ana), scenario.thread(ana)
    first.sent(day=0)
    second.sent(day=3)
    first.reply(day=1, label="not_now")
    second.reply(day=4, label="interested")

    numbers = scenario.numbers_of()

    assert (numbers["messages_sent"], numbers["contacted"], numbers["replied"]) == (2, 1, 1)
    assert numbers["positive"] == 1
    assert (numbers["label_interested"], numbers["label_not_now"]) == (1, 0)


def test_an_ambiguous_thread_is_never_counted(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"), ambiguous=True)
    thread.sent(day=0)
    thread.reply(day=1)

    assert scenario.numbers_of()["contacted"] == 0


def test_one_mail_to_two_recipients_contacts_both_and_is_one_mail(scenario: Scenario) -> None:
    ana, ben = scenario.recipient("ana@creator.example"), scenario.recipient("ben@creator.example")
    thread = scenario.thread(ana, ben)
    thread.sent(day=0)
    thread.reply(day=1, sender="ben@creator.example", label="interested")
    thread.reply(day=2, sender="who@else.example")

    numbers = scenario.numbers_of()

    assert (numbers["messages_sent"], numbers["contacted"], numbers["replied"]) == (1, 2, 1)
    assert numbers["positive"] == 1


# --- bounces and automatic answers
# --------------------------------------------------------------------------------


def test_a_hard_bounce_of_the_only_mail_takes_the_delivery_away(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    mail = thread.sent(day=0)
    thread.bounce(day=0.1, message_id=bare_id(mail))

    numbers = scenario.numbers_of()

    assert (numbers["hard_bounced"], numbers["delivered"], numbers["contacted"]) == (1, 0, 1)
    assert numbers["reply_rate"] is None


def test_a_bounce_after_a_reply_leaves_the_reply(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1)
    later = thread.sent(day=2)
    thread.bounce(day=2.1, message_id=later)

    numbers = scenario.numbers_of()

    assert (numbers["hard_bounced"], numbers["delivered"], numbers["replied"]) == (1, 1, 1)


def test_a_bounce_in_a_thread_of_its_own_finds_its_mail(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    scenario.thread(ana).sent(day=0)
    elsewhere = scenario.thread()
    elsewhere.bounce(day=1, address="ana@creator.example")

    assert scenario.numbers_of()["hard_bounced"] == 1


def test_a_bounce_belongs_to_the_address_that_failed_not_to_the_thread(scenario: Scenario) -> None:
    ana, ben = scenario.recipient("ana@creator.example"), scenario.recipient("ben@creator.example")
    thread = scenario.thread(ana, ben)
    mail = thread.sent(day=0)
    thread.bounce(day=0.1, message_id=mail, address="ben@creator.example")

    numbers = scenario.numbers_of()

    assert (numbers["contacted"], numbers["hard_bounced"], numbers["delivered"]) == (2, 1, 1)


def test_a_bounce_of_a_forwarding_address_belongs_to_the_mail_it_names(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    mail = scenario.thread(ana).sent(day=0)
    scenario.thread().bounce(day=1, address="hidden@forward.example", message_id=mail)

    assert scenario.numbers_of()["hard_bounced"] == 1


def test_a_bounce_of_another_campaigns_mail_is_not_ours(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    scenario.thread(ana).sent(day=0)
    others = scenario.thread().sent(day=0.5, to_keys=["ana@creator.example"])
    scenario.thread().bounce(day=1, address="ana@creator.example", message_id=others)

    assert scenario.numbers_of()["hard_bounced"] == 0


def test_a_bounce_without_a_message_id_is_laid_to_a_mail_of_the_last_seven_days(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.bounce(day=8)

    assert scenario.numbers_of()["hard_bounced"] == 0

    thread.sent(day=9)
    thread.bounce(day=10)

    assert scenario.numbers_of()["hard_bounced"] == 1
    assert scenario.numbers_of()["delivered"] == 1


def test_a_soft_bounce_is_delivered_and_passes_with_the_next_success(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    mail = thread.sent(day=0)
    thread.bounce(day=0.1, severity="soft", kind="delayed", message_id=mail)

    assert (scenario.numbers_of()["soft_bounced"], scenario.numbers_of()["delivered"]) == (1, 1)

    thread.sent(day=3)

    assert scenario.numbers_of()["soft_bounced"] == 0


def test_an_absence_alone_is_no_reply(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=0.1, kind="out_of_office", label="out_of_office")

    numbers = scenario.numbers_of()

    assert (numbers["replied"], numbers["auto_replied"], numbers["ooo"]) == (0, 1, 1)

    thread.reply(day=5)
    numbers = scenario.numbers_of()

    assert (numbers["replied"], numbers["auto_replied"], numbers["ooo"]) == (1, 0, 0)


# --- what it meant
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("campaign_type", "positive"), [("GIFTING", 0), ("PAID_PROMOTION", 1)])
def test_negotiating_is_positive_only_where_money_is_on_offer(
    database: Database, campaign_type: str, positive: int
) -> None:
    scenario = Scenario(database, campaign_type=campaign_type)
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="negotiating")

    assert scenario.numbers_of()["positive"] == positive
    assert scenario.numbers_of()["negotiating"] == 1


def test_positive_once_is_positive_for_ever(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="interested")
    thread.reply(day=2, label="not_interested")

    numbers = scenario.numbers_of()

    assert (numbers["positive"], numbers["label_not_interested"], numbers["label_interested"]) == (1, 1, 0)
    assert scenario.parts("day", "positive")["2026-10-02"] == 1


def test_an_opt_out_is_never_taken_back_by_a_later_mail(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="opt_out")
    thread.reply(day=2, label="interested")

    numbers = scenario.numbers_of()

    assert (numbers["opted_out"], numbers["opt_out_rate"]) == (1, 1.0)


def test_a_persons_word_outranks_the_model(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="not_interested", needs_review=True)

    assert (scenario.numbers_of()["positive"], scenario.numbers_of()["needs_review"]) == (0, 1)

    thread.override("interested")

    assert (scenario.numbers_of()["positive"], scenario.numbers_of()["needs_review"]) == (1, 0)


def test_an_override_takes_a_wrong_yes_away(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="interested")
    thread.override("not_interested")

    assert scenario.numbers_of()["positive"] == 0
    assert scenario.numbers_of()["label_not_interested"] == 1


# --- parts
# --------------------------------------------------------------------------------------------------------


def test_a_hand_over_leaves_the_recipient_with_the_first_sender(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    scenario.thread(ana, sender="mia", conversation="c").sent(day=0)
    second = scenario.thread(ana, sender="noa", conversation="c")
    second.sent(day=3)
    second.reply(day=4, label="interested")

    assert scenario.parts("sender", "contacted") == {"mia": 1, "noa": 0}
    assert scenario.parts("sender", "messages_sent") == {"mia": 1, "noa": 1}
    assert scenario.parts("sender", "replied") == {"mia": 1, "noa": 0}


def test_a_reply_belongs_to_the_last_mail_before_it(scenario: Scenario) -> None:
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.sent(day=3)
    thread.reply(day=4)
    thread.sent(day=5)

    assert scenario.parts("step", "messages_sent") == {"1": 1, "2": 1, "after reply": 1}
    assert scenario.parts("step", "replied") == {"1": 0, "2": 1, "after reply": 0}
    assert scenario.parts("step", "reply_rate") == {"1": 0, "2": 1, "after reply": None}


def test_days_are_those_of_the_campaigns_time_zone(database: Database) -> None:
    scenario = Scenario(database, time_zone="Pacific/Auckland")
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0.2)  # 13:48 UTC: the next day over there

    assert scenario.parts("day", "messages_sent") == {"2026-10-02": 1}
    assert scenario.parts("cohort", "contacted") == {"2026-W40": 1}


def test_our_answer_may_come_from_another_mailbox_of_the_conversation(scenario: Scenario) -> None:
    ana = scenario.recipient("ana@creator.example")
    first = scenario.thread(ana, sender="mia", conversation="c")
    first.sent(day=0)
    first.reply(day=1)
    scenario.thread(ana, sender="noa", conversation="c").sent(day=1.25)

    assert scenario.numbers_of()["median_hours_our_response"] == 6


def test_the_table_of_definitions_is_whole() -> None:
    """Every share names counts that exist, and what is shown first is defined."""
    keys = {item.key for item in DEFINITIONS}
    shares = [item for item in DEFINITIONS if item.numerator is not None]

    assert len(keys) == len(DEFINITIONS)
    assert set(HEADLINE) <= keys
    assert {item.denominator for item in shares} | {item.numerator for item in shares} <= keys
    assert {part for item in VENDOR_DEFINITIONS for part in (item.numerator, item.denominator) if part} <= keys
    assert all(len(item.words) > 30 and item.formula for item in BY_KEY.values())
    assert MetricRow.model_fields.keys() >= {"numerator", "denominator", "definition_version"}
