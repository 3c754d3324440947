"""Mail files become messages: all of them, byte for byte."""

import base64
import json
import re

import pytest

from cheerful_pipelines.local_google.mbox import dated, split_mbox
from cheerful_pipelines_tests.local_google.clients import gmail

DESK = "desk@cheerful.example"
THREAD_SETS = (
    "notmuch-default", "notmuch-threading", "notmuch-duplicate", "notmuch-broken", "spamassassin-ilug",
    "spamassassin-freshrpms", "spamassassin-ilug-social", "spamassassin-iiu", "spamassassin-webdev",
    "apache-asterix-dev-201709-mailarchivesao", "apache-httpd-users-2020-07", "apache-httpd-users-2020-07.asf",
    "apache-httpd-users-200606-part",
)  # fmt: skip
SEPARATOR = b"From ana@creator.example Thu Oct  1 09:00:00 2026\n"


def test_a_sentence_that_starts_with_from_does_not_cut_a_message():
    first = b"Subject: 1\n\nHello.\n\nFrom here on it is 2026 miles.\n>From me\n"
    second = b"Subject: 2\n\nFrom below\n"

    assert split_mbox(SEPARATOR + first + b"\n" + SEPARATOR + second) == [first, second]


def test_carriage_returns_and_text_before_the_first_separator_are_kept():
    data = b"Subject: 0\r\n\r\nx\r\n\r\n" + SEPARATOR.replace(b"\n", b"\r\n") + b"Subject: 1\r\n\r\ny\r\n\r\n"

    assert [message[:10] for message in split_mbox(data)] == [b"Subject: 0", b"Subject: 1"]


def test_a_file_without_separators_is_one_message():
    assert split_mbox(b"Subject: alone\n\nx\n") == [b"Subject: alone\n\nx\n"]
    assert split_mbox(b"") == []


def test_a_message_without_a_date_comes_a_second_after_the_one_before():
    mails = [b"Date: Thu, 01 Oct 2026 09:00:00 +0200\n\n", b"Subject: no date\n\n", b"Date: nonsense\n\n"]

    moments = [moment for _, moment in dated(iter(mails))]

    assert moments[0].isoformat() == "2026-10-01T07:00:00+00:00"
    assert [(moment - moments[0]).total_seconds() for moment in moments] == [0, 1, 2]


def test_own_mail_is_sent_and_the_rest_came_in(google, tmp_path):
    path = tmp_path / "mail.mbox"
    mails = [b"From: Mia <MIA@brand.example>\n\nx\n", b"From: ana@creator.example\n\ny\n"]
    path.write_bytes(b"\n".join(SEPARATOR + mail for mail in mails))
    google.add_mailbox("mia@brand.example")

    assert google.load_mbox("mia@brand.example", path, own_addresses=["mia@brand.example"]) == 2

    messages = gmail(google, "mia@brand.example").users().messages()
    found = messages.list(userId="me", labelIds=["SENT"]).execute()["messages"]
    assert len(found) == 1
    assert len(messages.list(userId="me", labelIds=["INBOX", "UNREAD"]).execute()["messages"]) == 1


@pytest.mark.real_mail
@pytest.mark.parametrize("name", THREAD_SETS)
def test_every_message_of_a_real_set_is_loaded(google, shared_data, name):
    folder = shared_data / "threads"
    expected = json.loads((folder / f"{name}.expected.json").read_text())["messages"]
    path = folder / f"{name}.mbox"
    path = path if path.exists() else folder / name
    google.add_mailbox(DESK)

    assert google.load_mbox(DESK, path) == len(expected)

    service, raws, token = gmail(google, DESK), [], None
    while True:
        page = service.users().messages().list(userId="me", pageToken=token, maxResults=100).execute()
        batch = service.new_batch_http_request(callback=lambda _, answer, error: raws.append(answer["raw"]))
        for message in page["messages"]:
            batch.add(service.users().messages().get(userId="me", id=message["id"], format="raw"))
        batch.execute()
        if (token := page.get("nextPageToken")) is None:
            break
    found = sorted(_message_id(base64.urlsafe_b64decode(raw)) for raw in raws)
    assert found == sorted(message["message_id"] or "" for message in expected)
    assert service.users().getProfile(userId="me").execute()["messagesTotal"] == len(expected)


@pytest.mark.real_mail
def test_odd_mail_can_be_delivered_and_read_in_every_format(google, shared_data):
    google.add_mailbox(DESK)
    service = gmail(google, DESK)
    files = sorted((shared_data / "mime").rglob("*.eml"))
    assert len(files) > 250
    ids = [google.deliver(DESK, file.read_bytes())["id"] for file in files]
    failed = []
    for format_ in ("raw", "full", "metadata"):
        for start in range(0, len(ids), 100):
            batch = service.new_batch_http_request(
                callback=lambda part, _, error, how=format_: failed.append((part, how, error)) if error else None
            )
            for id_ in ids[start : start + 100]:
                batch.add(service.users().messages().get(userId="me", id=id_, format=format_), request_id=id_)
            batch.execute()

    assert [(files[ids.index(part)].name, how, str(error)) for part, how, error in failed] == []


def _message_id(raw: bytes) -> str:
    head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    found = re.search(rb"^message-id:\s*((?:.*(?:\r?\n[ \t].*)*))", head, re.I | re.M)
    return re.sub(r"\s", "", found[1].decode("latin-1")) if found else ""
