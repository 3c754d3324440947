"""Gmail as the pipeline's own client library sees it."""

import base64
import functools
import operator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import pytest
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload

from cheerful_pipelines_tests.builders import START, a_message
from cheerful_pipelines_tests.local_google.clients import gmail

MIA, ANA = "mia@brand.example", "ana@creator.example"


@pytest.fixture
def mia(google):
    """Mia's Gmail."""
    google.add_mailbox(MIA)
    return gmail(google, MIA)


def encoded(raw: bytes) -> dict[str, str]:
    return {"raw": base64.urlsafe_b64encode(raw).decode()}


def listed(service, **kwargs) -> list[str]:
    answer = service.users().messages().list(userId="me", **kwargs).execute()
    return [message["id"] for message in answer.get("messages", [])]


def test_raw_gives_back_the_bytes_that_went_in(google, mia):
    raw = bytes(range(256)) + b"\nSubject: \xff\xfe\r\n\r\nbare\nlf\rcr\0nul" + b"\xf0" * 3
    id_ = google.deliver(MIA, raw)["id"]

    found = mia.users().messages().get(userId="me", id=id_, format="raw").execute()

    assert base64.urlsafe_b64decode(found["raw"]) == raw
    assert found["sizeEstimate"] == len(raw)


def test_the_list_is_newest_first_and_pages_cover_it(google, mia):
    ids = [google.deliver(MIA, b"Subject: x\n\n", internal_date=START + timedelta(days=n % 4))["id"] for n in range(9)]
    expected = sorted(ids, key=lambda id_: (ids.index(id_) % 4, ids.index(id_)), reverse=True)

    pages, request = [], mia.users().messages().list(userId="me", maxResults=4)
    while request is not None:
        answer = request.execute()
        pages.append([message["id"] for message in answer["messages"]])
        request = mia.users().messages().list_next(request, answer)

    assert [len(page) for page in pages] == [4, 4, 1]
    assert functools.reduce(operator.iadd, pages, []) == expected


def test_an_empty_list_has_no_messages_at_all(mia):
    assert mia.users().messages().list(userId="me").execute() == {"resultSizeEstimate": 0}


def test_spam_and_trash_are_left_out_unless_asked_for(google, mia):
    inbox = google.deliver(MIA, b"\n\n")["id"]
    spam = google.deliver(MIA, b"\n\n", label_ids=("SPAM",))["id"]
    trash = google.trash(MIA, google.deliver(MIA, b"\n\n")["id"])["id"]

    assert listed(mia) == [inbox]
    assert set(listed(mia, includeSpamTrash=True)) == {inbox, spam, trash}
    assert listed(mia, labelIds=["TRASH"]) == [trash]
    assert listed(mia, q="in:spam") == [spam]
    assert set(listed(mia, q="in:anywhere -in:trash")) == {inbox, spam}


def test_labels_of_a_list_call_must_all_match(google, mia):
    google.deliver(MIA, b"\n\n")
    both = google.deliver(MIA, b"\n\n", label_ids=("INBOX", "STARRED"))["id"]

    assert listed(mia, labelIds=["INBOX", "STARRED"]) == [both]


def test_dates_in_q_are_exact_as_seconds_and_pacific_as_days(google, mia):
    at = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)  # midnight in California
    before, after = (google.deliver(MIA, b"\n\n", internal_date=at + timedelta(seconds=gap))["id"] for gap in (-1, 0))

    assert listed(mia, q=f"after:{int(at.timestamp())}") == [after]
    assert listed(mia, q=f"before:{int(at.timestamp())}") == [before]
    assert listed(mia, q="after:2026/03/01") == [after]
    assert listed(mia, q="before:2026/3/1") == [before]


def test_q_finds_by_sender_recipient_subject_and_message_id(google, mia):
    hit = google.deliver(MIA, a_message().sender("Zoe <zoe@creator.example>").subject("Ça va").bytes())["id"]
    google.deliver(MIA, a_message().message_id("<other@x.example>").to("bo@brand.example").bytes())

    assert listed(mia, q="from:zoe@creator.example") == [hit]
    assert listed(mia, q="to:MIA@brand.example") == [hit]
    assert listed(mia, q='subject:"ça va"') == [hit]
    assert listed(mia, q="rfc822msgid:<m1@creator.example>") == [hit]
    assert len(listed(mia, q="-from:zoe@creator.example")) == 1


def test_a_very_long_query_arrives_as_a_post(google, mia):
    hit = google.deliver(MIA, a_message().bytes())["id"]

    assert listed(mia, q=" ".join(["from:ana@creator.example"] * 100)) == [hit]


def test_the_same_mail_has_other_ids_in_another_mailbox(google, mia):
    google.add_mailbox(ANA)
    raw = a_message().bytes()

    ids = {google.deliver(address, raw)["id"] for address in (MIA, ANA, MIA)}

    assert len(ids) == 3
    assert all(len(id_) == 16 and int(id_, 16) for id_ in ids)


def test_a_reply_joins_the_thread_only_with_the_same_subject(google, mia):
    first = google.deliver(MIA, a_message().subject("Spring").message_id("<a@x.example>").bytes())
    reply = a_message().message_id("<b@x.example>").replying_to("<a@x.example>")

    joined = google.deliver(MIA, reply.subject("RE: Fwd: spring").bytes())
    renamed = google.deliver(MIA, reply.subject("Something else").bytes())
    unknown = google.deliver(MIA, reply.subject("Spring").replying_to("<nobody@x.example>").bytes())

    assert first["threadId"] == first["id"]
    assert joined["threadId"] == first["id"]
    assert renamed["threadId"] == renamed["id"]
    assert unknown["threadId"] == unknown["id"]


def test_sending_delivers_to_the_mailboxes_of_this_server_and_hides_bcc(google, mia):
    google.add_mailbox(ANA)
    google.add_mailbox("bo@creator.example")
    recipients = b"To: Ana <ana@creator.example>, x@elsewhere.example\r\nBcc: bo@creator.example\r\n"
    raw = recipients + b"Subject: Hi\r\n\r\nBcc: me\r\n"

    sent = mia.users().messages().send(userId="me", body=encoded(raw)).execute()

    assert sent["labelIds"] == ["SENT"]
    own = mia.users().messages().get(userId="me", id=sent["id"], format="raw").execute()
    assert b"Bcc: bo@creator.example" in base64.urlsafe_b64decode(own["raw"])
    for address in (ANA, "bo@creator.example"):
        service = gmail(google, address)
        (id_,) = listed(service)
        copy = service.users().messages().get(userId="me", id=id_, format="raw").execute()
        mail = message_from_bytes(base64.urlsafe_b64decode(copy["raw"]))
        assert copy["labelIds"] == ["INBOX", "UNREAD"]
        assert mail["Bcc"] is None
        assert mail["From"] == MIA
        assert mail["Message-ID"]
        assert "Bcc: me" in mail.get_payload()


def test_a_reply_reaches_the_thread_on_both_sides(google, mia):
    google.add_mailbox(ANA)
    ana = gmail(google, ANA)
    pitch = a_message().sender(MIA).to(ANA).message_id("<p@brand.example>").subject("Spring")
    sent = mia.users().messages().send(userId="me", body=encoded(pitch.bytes())).execute()
    (received,) = listed(ana)
    answer = a_message().sender(ANA).to(MIA).message_id("<r@creator.example>").replying_to("<p@brand.example>")

    replied = ana.users().messages().send(
        userId="me", body=encoded(answer.subject("Re: Spring").bytes()) | {"threadId": received}
    ).execute()  # fmt: skip

    assert replied["threadId"] == received
    thread = mia.users().threads().get(userId="me", id=sent["threadId"], format="minimal").execute()
    assert [message["labelIds"] for message in thread["messages"]] == [["SENT"], ["INBOX", "UNREAD"]]


def test_mail_without_a_recipient_is_refused(mia):
    with pytest.raises(HttpError, match="Recipient address required"):
        mia.users().messages().send(userId="me", body=encoded(b"Subject: x\n\n")).execute()


def test_a_draft_keeps_its_id_and_its_message_gets_a_new_one(google, mia):
    start = mia.users().getProfile(userId="me").execute()["historyId"]
    drafts = mia.users().drafts()
    raw = a_message().to(ANA).bytes()

    first = drafts.create(userId="me", body={"message": encoded(raw)}).execute()
    second = drafts.update(userId="me", id=first["id"], body={"message": encoded(raw)}).execute()
    sent = drafts.send(userId="me", body={"id": first["id"]}).execute()

    assert second["id"] == first["id"]
    assert len({first["message"]["id"], second["message"]["id"], sent["id"]}) == 3
    assert sent["labelIds"] == ["SENT"]
    assert listed(mia) == [sent["id"]]
    assert "drafts" not in drafts.list(userId="me").execute()
    history = mia.users().history().list(userId="me", startHistoryId=start).execute()["history"]
    kinds = [kind for record in history for kind in record if kind.startswith("messages") and kind != "messages"]
    assert sorted(kinds) == ["messagesAdded"] * 3 + ["messagesDeleted"] * 2


def test_uploads_carry_the_bytes(google, mia):
    raw = b"Subject: up\nDate: Thu, 01 Oct 2026 09:00:00 +0000\n\nplain\n"
    media = MediaInMemoryUpload(raw, mimetype="message/rfc822")

    inserted = mia.users().messages().insert(
        userId="me", internalDateSource="dateHeader", body={"labelIds": ["INBOX"]}, media_body=media
    ).execute()  # fmt: skip

    found = mia.users().messages().get(userId="me", id=inserted["id"], format="raw").execute()
    assert base64.urlsafe_b64decode(found["raw"]).replace(b"\r\n", b"\n") == raw
    assert found["internalDate"] == str(int(START.timestamp()) * 1000)
    assert found["labelIds"] == ["INBOX"]


def test_a_batch_answers_each_part_for_itself(google, mia):
    ids = [google.deliver(MIA, f"Subject: {n}\n\n".encode())["id"] for n in range(20)]
    google.inject_fault(path_contains=f"messages/{ids[3]}", status=429, reason="rateLimitExceeded")
    google.reset_counters()
    answers, errors = {}, {}

    def collect(part_id, answer, error):
        (errors if error else answers)[part_id] = error or answer

    batch = mia.new_batch_http_request(callback=collect)
    for id_ in [*ids, "19ffffffffffffff"]:
        batch.add(mia.users().messages().get(userId="me", id=id_, format="raw"), request_id=id_)
    batch.execute()

    assert set(answers) == set(ids) - {ids[3]}
    assert all(answer["id"] == part_id for part_id, answer in answers.items())
    assert {part_id: error.status_code for part_id, error in errors.items()} == {
        ids[3]: 429, "19ffffffffffffff": 404,
    }  # fmt: skip
    assert google.counters()["units"][MIA] == 20 * 20


def test_an_expired_access_token_inside_a_batch_is_refreshed_by_the_client(google, mia):
    id_ = google.deliver(MIA, b"\n\n")["id"]
    mia.users().getProfile(userId="me").execute()
    google.expire_access_token(MIA)
    found = []

    batch = mia.new_batch_http_request(callback=lambda _, answer, error: found.append((answer, error)))
    batch.add(mia.users().messages().get(userId="me", id=id_, format="minimal"))
    batch.execute()

    assert [(answer["id"], error) for answer, error in found] == [(id_, None)]


def test_labels_change_in_one_record_and_not_at_all_where_nothing_changes(google, mia):
    found = google.deliver(MIA, b"\n\n")
    modify = mia.users().messages().modify
    body = {"addLabelIds": ["STARRED"], "removeLabelIds": ["UNREAD"]}

    modify(userId="me", id=found["id"], body=body).execute()
    modify(userId="me", id=found["id"], body=body).execute()

    (record,) = mia.users().history().list(userId="me", startHistoryId=found["historyId"]).execute()["history"]
    assert record["labelsAdded"][0]["labelIds"] == ["STARRED"]
    assert record["labelsRemoved"][0]["labelIds"] == ["UNREAD"]
    with pytest.raises(HttpError, match="Invalid label: NONSENSE"):
        modify(userId="me", id=found["id"], body={"addLabelIds": ["NONSENSE"]}).execute()


def test_history_is_narrowed_by_kind_and_label(google, mia):
    start = mia.users().getProfile(userId="me").execute()["historyId"]
    inbox, sent = (google.deliver(MIA, b"\n\n", label_ids=(label,))["id"] for label in ("INBOX", "SENT"))
    google.trash(MIA, inbox)
    google.delete(MIA, sent)

    def ids(**kwargs):
        answer = mia.users().history().list(userId="me", startHistoryId=start, **kwargs).execute()
        return [(record["messages"][0]["id"]) for record in answer.get("history", [])]

    assert ids() == [inbox, sent, inbox, sent]
    assert ids(historyTypes=["messageAdded"]) == [inbox, sent]
    assert ids(historyTypes=["messageDeleted", "labelAdded"]) == [inbox, sent]
    assert ids(labelId="INBOX") == [inbox, inbox]
    assert ids(labelId="STARRED") == []


def test_history_that_is_too_old_answers_404_and_the_new_id_is_good(google, mia):
    old = google.deliver(MIA, b"\n\n")["historyId"]
    google.expire_history(MIA)
    new = mia.users().getProfile(userId="me").execute()["historyId"]

    with pytest.raises(HttpError) as caught:
        mia.users().history().list(userId="me", startHistoryId=old).execute()

    assert caught.value.status_code == 404
    assert mia.users().history().list(userId="me", startHistoryId=new).execute() == {"historyId": new}
    delivered = google.deliver(MIA, b"\n\n")
    (record,) = mia.users().history().list(userId="me", startHistoryId=new).execute()["history"]
    assert record["id"] == delivered["historyId"]


def test_one_mailbox_sees_nothing_of_another(google, mia):
    google.add_mailbox(ANA)
    theirs = google.deliver(ANA, b"\n\n")

    assert listed(mia) == []
    with pytest.raises(HttpError) as caught:
        mia.users().messages().get(userId="me", id=theirs["id"]).execute()
    assert caught.value.status_code == 404
    with pytest.raises(HttpError, match="Delegation denied"):
        mia.users().messages().list(userId=ANA).execute()
