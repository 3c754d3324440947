"""Hostile mails among good ones in the mailboxes of two clients: every good one is stored, and nobody waits."""

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.mail.gmail import sync
from cheerful_pipelines.mail.models import ParsedMessage
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines_tests.hostile_mails import hostile_mails, mail
from cheerful_pipelines_tests.pipeline import Pipeline

GOOD_PER_MAILBOX = 100
KEY = "ab" * 32
BUG = b"X-Raises: yes"
"""A mail that meets a bug which nobody knows yet: the parser raises at it."""


def _good(client: str, number: int) -> bytes:
    return mail(f"Message-ID: <good{number}@{client}.example>".encode())


@pytest.fixture
def both(pipeline: Pipeline, google: LocalGoogleAdmin) -> Pipeline:
    """Two clients with a mailbox each; the first holds all hostile mails, and five that meet a bug, among its own."""
    for client in ("aurora", "borealis"):
        address = f"mia@{client}.example"
        google.add_mailbox(address)
        raws = [_good(client, number) for number in range(GOOD_PER_MAILBOX)]
        if client == "aurora":
            hostile = [one.raw for one in hostile_mails()]
            bugs = [mail(BUG + b"\r\nMessage-ID: <bug%d@aurora.example>" % number) for number in range(5)]
            for place, raw in enumerate([*hostile, *bugs]):
                raws.insert(2 * place, raw)
        google.deliver_many(address, [Delivery(raw) for raw in raws])
        pipeline.campaigns.add_client(slug=client, name=client.title())
        pipeline.campaigns.add_account(
            client_slug=client, alias=f"mia-{client}", address=address, scope="all",
            credentials_json=google.credentials_json(address), credentials_key=KEY,
        )  # fmt: skip
    return pipeline


def _parses_all_but_the_bugs(raw: bytes) -> ParsedMessage:
    if BUG in raw:
        raise ZeroDivisionError
    return parse_message(raw)


def test_hostile_mails_cost_nobody_a_good_one(both: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "parse_message", _parses_all_but_the_bugs)
    both.register_partitions()
    result = dg.materialize(
        [both.defs.get_assets_def(dg.AssetKey("gmail_messages"))], instance=both.instance, resources=both.resources,
        tags={
            "dagster/asset_partition_range_start": "mia-aurora",
            "dagster/asset_partition_range_end": "mia-borealis",
        },
    )  # fmt: skip

    assert result.success
    assert both.instance.get_materialized_partitions(dg.AssetKey("gmail_messages")) == {"mia-aurora", "mia-borealis"}
    with both.database.transaction() as connection:
        stored = connection.execute(
            sa.text("select count(*) from gmail_message where rfc822_message_id like 'good%'")
        ).scalar_one()
        dead = connection.execute(sa.text("select stage, reason_code from dead_letter")).all()
        marks = connection.execute(sa.text("select count(*) from account_mark where live_history_id > 0")).scalar_one()
        failed = connection.execute(sa.text("select count(*) from work_failure")).scalar_one()
    assert stored == 2 * GOOD_PER_MAILBOX
    assert [stage for stage, _ in dead] == ["parse"] * 5, "the bugs, and no other"
    assert (marks, failed) == (2, 0)
