"""What is let go by age: bytes and words, never rows or numbers; nothing that another mail needs; nothing twice."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.operations.retention import LetGo, let_go
from cheerful_pipelines_tests.builders import a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline


def test_old_raw_mail_and_old_words_go_and_everything_else_stays(pipeline: Pipeline, google: LocalGoogleAdmin) -> None:
    now = datetime.now(UTC)
    old, young = now - timedelta(days=100), now - timedelta(days=3)
    google.add_mailbox("mia@brand.example")
    people = [["Email"], ["ana@creator.example"], ["bo@creator.example"], ["cy@creator.example"]]
    google.put_sheet("in", title="In", tabs={"People": people})
    an_account(pipeline.database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(pipeline.database, spreadsheet_id="in", starts_at=old - timedelta(days=1))
    for number, (person, at) in enumerate((("ana", old), ("bo", young), ("cy", old))):
        pitch = a_message().sender("mia@brand.example").to(f"{person}@creator.example").at(at)
        raw = pitch.message_id(f"<p{number}@brand.example>").bytes()
        google.deliver("mia@brand.example", raw, label_ids=("SENT",), internal_date=at)
        if person == "cy":
            report = a_message().sender("mailer-daemon@mail.example").to("mia@brand.example").at(at)
            words = "Your message to cy@creator.example was not delivered: 550 5.1.1 no such user"
            found = report.subject("Delivery Status Notification (Failure)").text(words).message_id("<b@mail.example>")
            google.deliver("mia@brand.example", found.bytes(), internal_date=at)
        else:
            reply = a_message().sender(f"{person}@creator.example").to("mia@brand.example").at(at)
            reply = reply.message_id(f"<r{number}@creator.example>").replying_to(f"<p{number}@brand.example>")
            google.deliver("mia@brand.example", reply.text("Yes, I would love to join!").bytes(), internal_date=at)
    pipeline.sync_everything()
    pipeline.sync_everything()  # the first one found the bounce, this one's import suppresses the address
    before, blobs = pipeline.metrics("spring"), pipeline.resources["blobs"]
    assert before["hard_bounced"] == 1
    settings = pipeline.resources["settings"].model_copy(update={"keep_raw_mail_days": 90, "keep_rationales_days": 1})
    with pipeline.database.transaction() as connection:
        connection.execute(sa.text("update thread_verdict set created_at = :old"), {"old": old})

    gone = let_go(settings, pipeline.resources["database"], blobs, now)

    assert gone.raw_mails == 3  # ana's two and the pitch to cy; the report stays, it is evidence
    assert gone.rationales == 3
    assert let_go(settings, pipeline.resources["database"], blobs, now) == LetGo(0, 0)
    with pipeline.database.transaction() as connection:
        rows = connection.execute(sa.text("select raw_sha256, raw_deleted_at from gmail_message")).all()
    for key, deleted_at in rows:
        if deleted_at is None:
            assert blobs.get(key)
        else:
            with pytest.raises(NotFoundError):
                blobs.get(key)
    pipeline.sync_everything()
    with pipeline.database.transaction() as connection:
        connection.execute(sa.text("update campaign_mark set processed_recipients_revision = -1"))
    pipeline.sync_everything()
    assert pipeline.metrics("spring") == before
    assert pipeline.count("gmail_message") == len(rows) == 6


def test_nothing_is_let_go_unless_a_setting_says_so(pipeline: Pipeline) -> None:
    resources = pipeline.resources
    assert let_go(resources["settings"], resources["database"], resources["blobs"], datetime.now(UTC)) == LetGo(0, 0)
