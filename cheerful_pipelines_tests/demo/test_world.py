"""The invented world: the same for the same seed, never in the future, full of real mess."""

import email
import email.policy
import re
from datetime import UTC, date, datetime, time
from email.utils import parsedate_to_datetime
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.demo.models import DemoDelivery, SheetEdit
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines_tests.demo.worlds import TODAY, world

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
DAYS = st.dates(date(2025, 1, 1), date(2028, 12, 31))
_ADDRESS = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")


def test_the_same_seed_gives_the_same_world_byte_for_byte():
    again = generate_world(7, TODAY)

    assert again == world(7)


def test_another_seed_gives_another_world():
    assert generate_world(8, TODAY).deliveries != world(7).deliveries


@FEW
@given(seed=st.integers(0, 10_000), today=DAYS)
def test_nothing_is_ever_in_the_future(seed: int, today: date):
    midnight = datetime.combine(today, time(), tzinfo=UTC)
    made = generate_world(seed, today)

    assert all(item.at < midnight for item in (*made.deliveries, *made.edits, *made.facts))
    assert made.loaded_until < midnight


def test_the_date_header_of_a_mail_is_the_time_of_its_delivery():
    for item in world().deliveries:
        stated = parsedate_to_datetime(email.message_from_bytes(item.raw)["Date"])
        assert abs((item.at - stated).total_seconds()) <= 3


def test_two_clients_three_campaigns_and_four_accounts():
    made = world()

    assert len(made.clients) == 2
    assert sorted((c.campaign_type, c.status) for c in made.campaigns) == [
        ("GIFTING", "ACTIVE"), ("GIFTING", "COMPLETED"), ("PAID_PROMOTION", "ACTIVE"),
    ]  # fmt: skip
    assert {a.client_slug for a in made.accounts} == {c.slug for c in made.clients}
    assert all(len(c.senders) == 2 for c in made.campaigns)
    assert 240 <= len({row.recipient for row in made.rows if row.kind == "active"}) <= 260


def test_a_thousand_messages_are_loaded_and_sixty_or_more_are_left_to_play():
    made = world()

    assert 900 <= len(made.history()) <= 1500
    assert 60 <= len(made.live()) <= 140
    assert sum(isinstance(item, SheetEdit) for item in made.live()) >= 4
    assert len(made.history()) + len(made.live()) == len(made.deliveries) + len(made.edits)


@FEW
@given(seed=st.integers(0, 10_000), today=DAYS)
def test_every_label_of_the_taxonomy_occurs_within_the_loaded_part(seed: int, today: date):
    made = generate_world(seed, today)

    seen = {fact.label for fact in made.facts if fact.at < made.loaded_until}

    assert set(get_args(Label)) <= seen


def test_every_address_is_at_an_example_domain_or_cannot_exist():
    """The exceptions: Gmail's own daemon, and names with a hyphen, which Gmail does not hand out."""
    for item in world().deliveries:
        headers = "\n".join(str(value) for value in email.message_from_bytes(item.raw).values())
        text = f"{headers}\n{_decoded(item).decode('utf-8')}"
        for address in _ADDRESS.findall(text):
            domain = address.rpartition("@")[2].lower()
            assert (
                domain.endswith(".example")
                or address == "mailer-daemon@googlemail.com"
                or (domain == "gmail.com" and address.startswith("zz-demo"))
            ), address


def _decoded(item: DemoDelivery) -> bytes:
    mail = email.message_from_bytes(item.raw)
    return b"\n".join(part.get_payload(decode=True) or b"" for part in mail.walk())


def test_every_mail_parses_without_a_defect_and_carries_its_message_id():
    for item in world().deliveries:
        mail = email.message_from_bytes(item.raw, policy=email.policy.default)
        assert not mail.defects
        assert mail["Message-ID"] == item.message_id
        assert b"\n" not in item.raw.replace(b"\r\n", b"")


def test_references_name_mails_that_were_delivered_before():
    known: set[str] = set()
    for item in world().deliveries:
        named = (email.message_from_bytes(item.raw)["References"] or "").split()
        assert set(named) <= known
        known.add(item.message_id)


def test_replies_come_in_five_languages_and_in_the_quoting_of_three_programs():
    text = b"\n".join(_decoded(item) for item in world().deliveries).decode()

    for trace in (" wrote:", "escribió:", "escreveu (", "a écrit :", "schrieb ", "From: ", "gmail_quote",
                  "divRplyFwdMsg", 'blockquote type="cite"', "no longer wish to hear from us"):  # fmt: skip
        assert trace in text, trace


def test_some_replies_quote_our_footer_that_speaks_of_unsubscribing_though_they_do_not_opt_out():
    made = world()
    raw = {item.message_id: _decoded(item).decode() for item in made.deliveries}

    trapped = [f for f in made.facts if f.label == "interested" and "no longer wish to hear" in raw[f.message_id]]

    assert trapped


def test_the_same_mail_lies_in_two_accounts_and_conversations_move_between_senders():
    made = world()
    by_conversation: dict[str, set[str]] = {}
    for fact in made.facts:
        by_conversation.setdefault(fact.conversation, set()).update(fact.accounts)

    assert any(len(fact.accounts) == 2 and fact.kind == "human" for fact in made.facts)
    assert any(len(fact.accounts) == 2 and fact.kind == "ours" for fact in made.facts)
    assert any(len(accounts) == 2 for accounts in by_conversation.values())
    assert any(fact.from_other_address for fact in made.facts)


def test_private_mail_newsletters_spam_and_drafts_belong_to_no_campaign():
    made = world()
    of_campaigns = {fact.message_id for fact in made.facts}
    rest = [item for item in made.deliveries if item.message_id not in of_campaigns]

    assert any("SPAM" in item.label_ids for item in rest)
    assert any("DRAFT" in item.label_ids for item in rest)
    assert any(b"List-Unsubscribe" in item.raw for item in rest)
    assert any("SENT" in item.label_ids for item in rest)
    assert not any({"SPAM", "DRAFT"} & set(i.label_ids) for i in made.deliveries if i.message_id in of_campaigns)


def test_delivery_reports_name_the_mail_that_they_are_about():
    made = world()
    raw = {item.message_id: item.raw for item in made.deliveries}
    reports = [fact for fact in made.facts if fact.kind in {"bounce_hard", "bounce_soft", "delayed"}]

    assert {fact.kind for fact in reports} == {"bounce_hard", "bounce_soft", "delayed"}
    for fact in reports:
        assert fact.about is not None
        mail = email.message_from_bytes(raw[fact.message_id])
        assert mail.get_content_type() == "multipart/report"
        assert fact.about == mail["In-Reply-To"]
        status = mail.get_payload()[1].get_payload()[1]
        assert status["Action"] == ("delayed" if fact.kind == "delayed" else "failed")
        assert status["Status"].startswith("5" if fact.kind == "bounce_hard" else "4")


def test_the_sheets_have_the_mess_that_sheets_have():
    made = world()
    cells = [str(cell) for sheet in made.sheets for tab in sheet.tabs.values() for row in tab for cell in row]
    tabs = [sheet.tabs["Creators"] for sheet in made.sheets]
    heads = {tuple(row) for tab in tabs for row in tab[:3] if any("mail" in str(cell).lower() for cell in row)}

    assert {"E-Mail", "Contact e-mail", "Email address"} <= {cell for head in heads for cell in head}
    assert "#N/A" in cells
    assert any(re.search(r" <.+@.+>$", cell) for cell in cells)
    assert any(cell != cell.strip() and "@" in cell for cell in cells)
    assert any(not cell.isascii() for cell in cells)
    assert any(cell.isupper() and "@" in cell for cell in cells)
    for sheet, campaign in zip(made.sheets, made.campaigns, strict=True):
        kinds = {row.kind for row in made.rows if row.campaign == campaign.slug}
        assert kinds == {"active", "rejected", "duplicate", "no_address"}
        assert any(not any(str(cell).strip() for cell in row) for row in sheet.tabs["Creators"])


def test_row_numbers_of_the_truth_are_those_of_the_sheet():
    made = world()
    for sheet, campaign in zip(made.sheets, made.campaigns, strict=True):
        rows = sheet.tabs["Creators"]
        for fact in made.rows:
            if fact.campaign == campaign.slug and fact.since is None and fact.kind in {"active", "duplicate"}:
                cells = [str(cell) for cell in rows[fact.sheet_row - 1]]
                address = next(re.sub(r".*<|>", "", cell).strip() for cell in cells if "@" in cell and cell[0] != "@")
                assert address_key(address) == fact.recipient


def test_nobody_is_in_two_campaigns_of_one_client():
    made = world()
    seen: dict[tuple[str, str], str] = {}
    client = {campaign.slug: campaign.client_slug for campaign in made.campaigns}
    for row in made.rows:
        if row.kind == "active" and row.recipient:
            assert seen.setdefault((client[row.campaign], row.recipient), row.campaign) == row.campaign
