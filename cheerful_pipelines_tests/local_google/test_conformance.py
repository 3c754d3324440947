"""Every route answers as the discovery documents inside google-api-python-client describe."""

import base64
import json

import pytest

from cheerful_pipelines.local_google.app import LocalGoogle
from cheerful_pipelines.local_google.state import State
from cheerful_pipelines_tests.builders import a_message
from cheerful_pipelines_tests.local_google.schema import response_faults
from cheerful_pipelines_tests.local_google.wire import access_token, send

MIA = "mia@brand.example"
ME = "/gmail/v1/users/me"
RAW = base64.urlsafe_b64encode(b"To: ana@creator.example\r\nSubject: Hello\r\n\r\nBody\r\n").decode()
MIXED = (
    b"Subject: Plan\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain\r\n\r\nSee there\r\n--b\r\nContent-Type: application/pdf; name=plan.pdf\r\n"
    b"Content-Disposition: attachment; filename=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"JVBERi0=\r\n--b--\r\n"
)
DOCUMENTS = {"gmail": "gmail.v1", "sheets": "sheets.v4", "drive": "drive.v3"}


@pytest.fixture
def ids(google):
    """A mailbox with messages, a draft and a sheet: the ids that the paths below need."""
    google.add_mailbox(MIA)
    start = google.deliver(MIA, a_message().bytes())["historyId"]
    second = google.deliver(MIA, a_message().message_id("<2@creator.example>").bytes())
    mixed = google.deliver(MIA, MIXED, label_ids=())
    rows = [["Name", "Email"], ["Ana", "ana@creator.example"], [], ["Bo", 3.5]]
    google.put_sheet("book", title="Book", tabs={"People": rows, "It's": [[True]]})
    token = access_token(google, google.credentials_json(MIA))
    _, draft = send(
        "POST", f"{google.url}{ME}/drafts", token=token, content=json.dumps({"message": {"raw": RAW}}).encode()
    )
    google.modify_labels(MIA, second["id"], add=("STARRED",), remove=("UNREAD",))
    google.delete(MIA, google.deliver(MIA, b"Subject: gone\n\n")["id"])
    return {
        "token": token, "first": start, "second": second["id"], "thread": second["threadId"], "mixed": mixed["id"],
        "draft": draft["id"],
    }  # fmt: skip


CALLS = [
    ("gmail.users.getProfile", "GET", ME + "/profile", None),
    ("gmail.users.messages.list", "GET", ME + "/messages?maxResults=1", None),
    ("gmail.users.messages.list", "GET", ME + "/messages?q=from:nobody", None),
    ("gmail.users.messages.get", "GET", ME + "/messages/{second}?format=raw", None),
    ("gmail.users.messages.get", "GET", ME + "/messages/{mixed}?format=full", None),
    ("gmail.users.messages.get", "GET", ME + "/messages/{mixed}?format=metadata&metadataHeaders=Subject", None),
    ("gmail.users.messages.get", "GET", ME + "/messages/{second}?format=minimal", None),
    ("gmail.users.messages.attachments.get", "GET", ME + "/messages/{mixed}/attachments/{mixed}.1", None),
    ("gmail.users.messages.insert", "POST", ME + "/messages", {"raw": RAW, "labelIds": ["INBOX"]}),
    ("gmail.users.messages.import", "POST", ME + "/messages/import", {"raw": RAW}),
    ("gmail.users.messages.send", "POST", ME + "/messages/send", {"raw": RAW}),
    ("gmail.users.messages.modify", "POST", ME + "/messages/{second}/modify", {"addLabelIds": ["SPAM"]}),
    ("gmail.users.messages.trash", "POST", ME + "/messages/{second}/trash", None),
    ("gmail.users.messages.untrash", "POST", ME + "/messages/{second}/untrash", None),
    ("gmail.users.messages.delete", "DELETE", ME + "/messages/{second}", None),
    ("gmail.users.messages.batchModify", "POST", ME + "/messages/batchModify",
     {"ids": ["{second}"], "addLabelIds": ["STARRED"]}),
    ("gmail.users.messages.batchDelete", "POST", ME + "/messages/batchDelete", {"ids": ["{second}"]}),
    ("gmail.users.drafts.list", "GET", ME + "/drafts", None),
    ("gmail.users.drafts.get", "GET", ME + "/drafts/{draft}", None),
    ("gmail.users.drafts.create", "POST", ME + "/drafts", {"message": {"raw": RAW}}),
    ("gmail.users.drafts.update", "PUT", ME + "/drafts/{draft}", {"message": {"raw": RAW}}),
    ("gmail.users.drafts.send", "POST", ME + "/drafts/send", {"id": "{draft}"}),
    ("gmail.users.drafts.delete", "DELETE", ME + "/drafts/{draft}", None),
    ("gmail.users.labels.list", "GET", ME + "/labels", None),
    ("gmail.users.labels.create", "POST", ME + "/labels", {"name": "Spring"}),
    ("gmail.users.history.list", "GET", ME + "/history?startHistoryId={first}", None),
    ("gmail.users.history.list", "GET", ME + "/history?startHistoryId={first}&maxResults=1", None),
    ("gmail.users.threads.list", "GET", ME + "/threads", None),
    ("gmail.users.threads.get", "GET", ME + "/threads/{thread}?format=metadata", None),
    ("gmail.users.watch", "POST", ME + "/watch", {"topicName": "projects/p/topics/t"}),
    ("gmail.users.stop", "POST", ME + "/stop", None),
    ("sheets.spreadsheets.create", "POST", "/v4/spreadsheets", {"properties": {"title": "New"}}),
    ("sheets.spreadsheets.get", "GET", "/v4/spreadsheets/book", None),
    ("sheets.spreadsheets.get", "GET", "/v4/spreadsheets/book?includeGridData=true&ranges=People!A1:B2", None),
    ("sheets.spreadsheets.get", "GET", "/v4/spreadsheets/book?fields=sheets.properties", None),
    ("sheets.spreadsheets.batchUpdate", "POST", "/v4/spreadsheets/book:batchUpdate",
     {"requests": [{"addSheet": {"properties": {"title": "Numbers", "gridProperties": {"frozenRowCount": 1}}}}],
      "includeSpreadsheetInResponse": True}),
    ("sheets.spreadsheets.values.get", "GET", "/v4/spreadsheets/book/values/People!A1:C9", None),
    ("sheets.spreadsheets.values.get", "GET",
     "/v4/spreadsheets/book/values/People?majorDimension=COLUMNS&valueRenderOption=UNFORMATTED_VALUE", None),
    ("sheets.spreadsheets.values.batchGet", "GET",
     "/v4/spreadsheets/book/values:batchGet?ranges=People&ranges=%27It%27%27s%27!A1", None),
    ("sheets.spreadsheets.values.update", "PUT",
     "/v4/spreadsheets/book/values/People!A1?valueInputOption=RAW&includeValuesInResponse=true", {"values": [["x"]]}),
    ("sheets.spreadsheets.values.batchUpdate", "POST", "/v4/spreadsheets/book/values:batchUpdate",
     {"valueInputOption": "RAW", "data": [{"range": "People!A1", "values": [["x", 1, True]]}]}),
    ("sheets.spreadsheets.values.append", "POST",
     "/v4/spreadsheets/book/values/People!A1:append?valueInputOption=RAW", {"values": [["x"]]}),
    ("sheets.spreadsheets.values.clear", "POST", "/v4/spreadsheets/book/values/People!A1:clear", {}),
    ("sheets.spreadsheets.values.batchClear", "POST", "/v4/spreadsheets/book/values:batchClear",
     {"ranges": ["People"]}),
    ("drive.files.get", "GET", "/drive/v3/files/book", None),
    ("drive.files.get", "GET", "/drive/v3/files/book?fields=*", None),
    ("drive.files.get", "GET", "/drive/v3/files/book?fields=version,modifiedTime,name,mimeType", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "verb", "path", "body"), CALLS, ids=[f"{c[0]}-{n}" for n, c in enumerate(CALLS)])
def test_an_answer_is_what_googles_document_describes(google, ids, method, verb, path, body):
    text = json.dumps(body) if body is not None else ""
    for name, value in ids.items():
        path, text = path.replace("{" + name + "}", value), text.replace("{" + name + "}", value)

    status, answer = send(verb, google.url + path, token=ids["token"], content=text.encode() if text else None)

    assert status in (200, 204), answer
    assert response_faults(DOCUMENTS[method.split(".")[0]], method, answer) == []


def test_every_route_is_among_the_calls_held_against_the_documents(tmp_path):
    """A route added without a line in CALLS fails here."""
    state = State(tmp_path / "state.sqlite")
    routes = LocalGoogle(state).routes()
    state.close()

    spoken = {route.name for route in routes if route.api in DOCUMENTS}

    assert spoken == {call[0] for call in CALLS}


@pytest.mark.parametrize(
    ("path", "token", "status", "reason"),
    [
        (ME + "/profile", "unknown", 401, "authError"),
        (ME + "/profile", "", 401, "authError"),
        (ME + "/messages/19ffffffffffffff", None, 404, "notFound"),
        (ME + "/history?startHistoryId=1", None, 404, "notFound"),
        (ME + "/history?startHistoryId=99999999999", None, 404, "notFound"),
        (ME + "/history", None, 400, "invalidArgument"),
        (ME + "/messages?q=has:attachment", None, 400, "invalidArgument"),
        (ME + "/messages?q=words", None, 400, "invalidArgument"),
        (ME + "/messages?pageToken=mine", None, 400, "invalidArgument"),
        (ME + "/messages?maxResults=many", None, 400, "invalidArgument"),
        ("/gmail/v1/users/else@brand.example/profile", None, 403, "forbidden"),
        (ME + "/settings/filters", None, 501, "notImplemented"),
        ("/drive/v3/files/absent", None, 404, "notFound"),
    ],
)
def test_gmail_and_drive_word_their_errors_with_a_reason(google, ids, path, token, status, reason):
    found, body = send("GET", google.url + path, token=ids["token"] if token is None else token)

    assert found == status
    assert body["error"]["code"] == status
    assert body["error"]["errors"][0]["reason"] == reason
    assert set(body["error"]) <= {"code", "message", "errors", "status"}


@pytest.mark.parametrize(
    ("path", "status", "name", "words"),
    [
        ("/v4/spreadsheets/absent", 404, "NOT_FOUND", "Requested entity was not found."),
        ("/v4/spreadsheets/book/values/Absent!A1", 400, "INVALID_ARGUMENT", "Unable to parse range: Absent!A1"),
        ("/v4/spreadsheets/book/values/People!A1%3A%3A", 400, "INVALID_ARGUMENT", "Unable to parse range: People!A1::"),
        ("/v4/spreadsheets/book/values/People!A1001", 400, "INVALID_ARGUMENT",
         "Range (People!A1001) exceeds grid limits. Max rows: 1000, max columns: 26"),
    ],
)  # fmt: skip
def test_sheets_words_its_errors_without_reasons(google, ids, path, status, name, words):
    found, body = send("GET", google.url + path, token=ids["token"])

    assert (found, body) == (status, {"error": {"code": status, "message": words, "status": name}})


def test_a_sheet_that_is_not_shared_is_forbidden(google, ids):
    google.share_sheet("book", shared=False)

    sheets = send("GET", f"{google.url}/v4/spreadsheets/book", token=ids["token"])
    drive = send("GET", f"{google.url}/drive/v3/files/book", token=ids["token"])

    assert sheets == (403, {"error": {"code": 403, "message": "The caller does not have permission",
                                      "status": "PERMISSION_DENIED"}})  # fmt: skip
    assert drive[0] == 404
