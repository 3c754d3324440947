"""Faults, tokens, restarts, and the command that runs the server."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
import requests
from google.auth.exceptions import RefreshError
from googleapiclient.errors import HttpError

from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.local_google.server import ServerThread, bind
from cheerful_pipelines_tests.local_google.clients import gmail, gspread_client
from cheerful_pipelines_tests.local_google.wire import access_token, send

MIA = "mia@brand.example"


@pytest.fixture
def mia(google):
    """Mia's Gmail."""
    google.add_mailbox(MIA)
    return gmail(google, MIA)


def profile(service):
    return service.users().getProfile(userId="me").execute()


def test_an_injected_error_comes_as_often_as_asked_and_carries_its_reason(google, mia):
    google.inject_fault(path_contains="/profile", status=403, reason="userRateLimitExceeded", times=2)

    for _ in range(2):
        with pytest.raises(HttpError) as caught:
            profile(mia)
        assert caught.value.error_details[0]["reason"] == "userRateLimitExceeded"
        assert caught.value.error_details[0]["domain"] == "usageLimits"
    assert profile(mia)["emailAddress"] == MIA


def test_retry_after_is_sent_as_given(google, mia):
    google.inject_fault(path_contains="/profile", status=429, reason="rateLimitExceeded", retry_after="7")

    with pytest.raises(HttpError) as caught:
        profile(mia)

    assert caught.value.resp["retry-after"] == "7"


def test_a_502_can_come_as_a_page(google, mia):
    google.inject_fault(path_contains="/profile", status=502, kind="html")

    with pytest.raises(HttpError) as caught:
        profile(mia)

    assert caught.value.status_code == 502
    assert caught.value.content.startswith(b"<!DOCTYPE html>")


def test_a_body_can_be_cut(google, mia):
    profile(mia)
    google.inject_fault(path_contains="/profile", kind="cut")

    with pytest.raises(http.client.IncompleteRead):
        profile(mia)

    assert profile(mia)["emailAddress"] == MIA


def test_a_connection_can_be_reset(google, mia):
    profile(mia)
    google.inject_fault(path_contains="/profile", kind="reset", times=5)

    with pytest.raises(ConnectionResetError):
        profile(mia)

    google.clear_faults()
    assert profile(mia)["emailAddress"] == MIA


def test_garbage_comes_as_200(google, mia):
    google.inject_fault(path_contains="/profile", kind="garbage")

    assert isinstance(profile(mia), str)


def test_a_lost_answer_leaves_the_change_behind(google):
    google.put_sheet("book", title="Book", tabs={"T": [["a"]]})
    tab = gspread_client(google).open_by_key("book").sheet1
    google.inject_fault(path_contains=":append", kind="lost")

    with pytest.raises(OSError, match=r"reset|aborted"):
        tab.append_row(["b"])

    assert google.sheet_values("book", "T") == [["a"], ["b"]]


def test_a_list_can_be_empty_once_doubled_or_turned_round(google, mia):
    ids = [google.deliver(MIA, b"\n\n")["id"] for _ in range(3)][::-1]
    messages = mia.users().messages()

    google.inject_fault(path_contains="/messages", kind="empty")
    empty = messages.list(userId="me").execute()
    again = messages.list(userId="me", pageToken=empty["nextPageToken"]).execute()
    google.inject_fault(path_contains="/messages", kind="twice")
    twice = messages.list(userId="me").execute()
    google.inject_fault(path_contains="/messages", kind="reversed")
    turned = messages.list(userId="me").execute()

    assert "messages" not in empty
    assert [message["id"] for message in again["messages"]] == ids
    assert [message["id"] for message in twice["messages"]] == [id_ for id_ in ids for _ in range(2)]
    assert [message["id"] for message in turned["messages"]] == ids[::-1]


def test_an_empty_page_of_history_loses_nothing(google, mia):
    start = profile(mia)["historyId"]
    id_ = google.deliver(MIA, b"\n\n")["id"]
    history = mia.users().history()
    google.inject_fault(path_contains="/history", kind="empty")

    request = history.list(userId="me", startHistoryId=start)
    first = request.execute()
    second = history.list_next(request, first).execute()

    assert "history" not in first
    assert second["history"][0]["messages"][0]["id"] == id_


def timed_out(call):
    """Seconds until the call's socket time-out of 0.3 s; fails if it is answered."""
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        call()
    return time.monotonic() - started


def test_a_mailbox_that_used_up_its_minute_is_refused_and_the_others_are_not(google, mia):
    google.add_mailbox("bo@brand.example")
    bo = gmail(google, "bo@brand.example")
    google.set_limits(units_a_minute=2, refusal="403")

    profile(mia), profile(mia)
    with pytest.raises(HttpError) as caught:
        profile(mia)

    assert caught.value.error_details[0]["reason"] == "userRateLimitExceeded"
    assert "retry-after" not in caught.value.resp
    assert profile(bo)["emailAddress"] == "bo@brand.example"
    assert google.counters()["refused"] == 1


def test_one_mailbox_hangs_for_a_while_and_the_others_do_not(google, mia):
    google.add_mailbox("bo@brand.example")
    bo = gmail(google, "bo@brand.example")
    profile(mia), profile(bo)
    mia._http.http.timeout = bo._http.http.timeout = 0.3
    mia._http.http.connections.clear()
    google.inject_fault(path_contains="", kind="hang", mailbox=MIA, lasting_seconds=60)

    timed_out(lambda: profile(mia))
    timed_out(lambda: mia.users().labels().list(userId="me").execute())

    assert profile(bo)["emailAddress"] == "bo@brand.example"
    google.clear_faults()
    assert profile(mia)["emailAddress"] == MIA


def test_the_token_of_one_mailbox_hangs(google, mia):
    google.add_mailbox("bo@brand.example")
    google.inject_fault(path_contains="/token", kind="hang", seconds=0.1, mailbox="bo@brand.example")

    assert profile(mia)["emailAddress"] == MIA
    with pytest.raises(ConnectionResetError):
        profile(gmail(google, "bo@brand.example"))


def test_an_order_ends_with_its_time(google, mia):
    google.inject_fault(path_contains="/profile", kind="json", status=503, lasting_seconds=0.2)

    with pytest.raises(HttpError):
        profile(mia)
    time.sleep(0.25)
    assert profile(mia)["emailAddress"] == MIA


def test_an_answer_can_be_late_or_come_byte_by_byte(google, mia):
    profile(mia)
    google.inject_fault(path_contains="/profile", kind="slow", seconds=0.2)
    google.inject_fault(path_contains="/profile", kind="drip", byte_seconds=0.005)

    for _ in range(2):
        started = time.monotonic()
        assert profile(mia)["emailAddress"] == MIA
        assert time.monotonic() - started >= 0.2


def test_a_sheet_can_hang_alone(google):
    for name in ("slow", "quick"):
        google.put_sheet(name, title=name, tabs={"T": [["a"]]})
    client = gspread_client(google)
    client.set_timeout(0.3)
    google.inject_fault(path_contains="/spreadsheets/slow", kind="hang", lasting_seconds=60)

    with pytest.raises(requests.exceptions.ReadTimeout):
        client.open_by_key("slow").worksheet("T").get_all_values()
    assert client.open_by_key("quick").worksheet("T").get_all_values() == [["a"]]


def test_a_body_can_end_after_any_byte(google, mia):
    google.deliver(MIA, b"\n\n")
    google.inject_fault(path_contains="/messages", kind="short", cut_at=7)

    with pytest.raises(http.client.IncompleteRead) as caught:
        mia.users().messages().list(userId="me").execute()

    assert len(caught.value.partial) == 7


def test_a_fault_of_the_token_endpoint_looks_like_one(google, mia):
    google.inject_fault(path_contains="/token", status=400, reason="invalid_grant")

    with pytest.raises(RefreshError, match="invalid_grant"):
        profile(mia)


def test_a_revoked_token_stops_its_mailbox_alone(google, mia):
    google.add_mailbox("bo@brand.example")
    bo = gmail(google, "bo@brand.example")
    profile(mia), profile(bo)

    google.revoke_token(MIA)

    with pytest.raises(RefreshError) as caught:
        profile(mia)
    assert caught.value.args[1]["error"] == "invalid_grant"
    assert not caught.value.retryable
    assert profile(bo)["emailAddress"] == "bo@brand.example"
    google.restore_token(MIA)
    assert profile(mia)["emailAddress"] == MIA


def test_a_service_account_gets_a_mailbox_by_its_subject(google, mia):
    def granted(subject, life=600, our_clock=0):
        now = time.time() + our_clock
        claims = {"iss": "robot@project.example", "sub": subject, "iat": now, "exp": now + life}
        parts = [json.dumps(part).encode().hex() for part in ({}, {})]
        parts[1] = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": ".".join([*parts, "x"])}
        return send("POST", f"{google.url}/token", content=urlencode(form).encode())

    status, body = granted(MIA)
    assert status == 200
    assert send("GET", f"{google.url}/gmail/v1/users/me/profile", token=body["access_token"])[1]["emailAddress"] == MIA
    assert granted("nobody@brand.example") == (
        400, {"error": "invalid_grant", "error_description": "Invalid email or User ID"},
    )  # fmt: skip
    for wrong in (granted(MIA, life=-10), granted(MIA, our_clock=3600), granted(MIA, our_clock=-3600)):
        assert wrong[1]["error"] == "invalid_grant"
        assert "Check your iat and exp" in wrong[1]["error_description"]


def test_calls_and_units_are_counted_by_mailbox(google, mia):
    id_ = google.deliver(MIA, b"\n\n")["id"]
    mia.users().messages().list(userId="me").execute()
    mia.users().messages().get(userId="me", id=id_, format="raw").execute()

    counters = google.counters()

    assert counters["calls_by_mailbox"][MIA] == {"gmail.users.messages.list": 1, "gmail.users.messages.get": 1}
    assert counters["units"][MIA] == 25
    assert counters["units_in_busiest_minute"][MIA] == 25
    google.reset_counters()
    assert google.counters()["units"] == {}


def test_mail_sheets_tokens_and_history_survive_a_restart(tmp_path):
    path = tmp_path / "google.sqlite"
    with ServerThread(path) as server:
        google = LocalGoogleAdmin(server.url)
        google.add_mailbox(MIA)
        delivered = google.deliver(MIA, b"Subject: kept\n\n\xff")
        google.put_sheet("book", title="Book", tabs={"T": [["a", 1, True]]})
        credentials = google.credentials_json(MIA)
        token = access_token(google, credentials)
    with ServerThread(path) as server:
        google = LocalGoogleAdmin(server.url)
        _, listed = send("GET", f"{server.url}/gmail/v1/users/me/messages", token=token)
        _, history = send(
            "GET", f"{server.url}/gmail/v1/users/me/history?startHistoryId={delivered['historyId']}", token=token
        )
        later = google.deliver(MIA, b"\n\n")

        assert listed["messages"] == [{"id": delivered["id"], "threadId": delivered["threadId"]}]
        assert history == {"historyId": delivered["historyId"]}
        assert google.sheet_values("book", "T") == [["a", 1, True]]
        assert json.loads(google.credentials_json(MIA))["refresh_token"] == json.loads(credentials)["refresh_token"]
        assert int(later["historyId"]) > int(delivered["historyId"])
        assert later["id"] > delivered["id"]


def test_many_messages_arrive_in_order(google):
    google.add_mailbox(MIA)
    google.add_mailbox(MIA)

    count = google.deliver_many(MIA, (Delivery(f"Subject: {n}\n\n".encode()) for n in range(450)))

    assert count == 450
    assert google.health()["messages"] == 450
    assert google.health()["mailboxes"] == 1


def test_the_clients_errors_say_what_is_wrong(google):
    with pytest.raises(NotFoundError, match="no such mailbox"):
        google.deliver("nobody@brand.example", b"\n\n")
    with pytest.raises(PermanentError, match="Unknown kind of fault"):
        google.inject_fault(path_contains="x", kind="nonsense")
    with pytest.raises(TransientError, match="did not answer health"):
        LocalGoogleAdmin("http://127.0.0.1:9").health()


def test_a_taken_port_is_told_in_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match=r"cannot be had.*--port"):
            bind("127.0.0.1", taken.getsockname()[1])


def start_command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "cheerful_pipelines.local_google", *arguments],
        stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip


@pytest.mark.system
def test_a_state_file_of_another_kind_is_told_in_words(tmp_path):
    path = tmp_path / "mail.txt"
    path.write_text("this is no database\n" * 100)

    refused = start_command("--port", "0", "--state", str(path))

    assert refused.wait(20) == 1
    assert "cannot be used" in refused.stderr.read()


def test_a_web_page_cannot_steer_the_server(google):
    request = urllib.request.Request(f"{google.url}/local/wipe", data=b"{}", headers={"Origin": "http://evil.example"})

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)

    assert caught.value.code == 403


@pytest.mark.system
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal_and_refuses_a_taken_port(tmp_path, stop):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ("--port", str(port), "--state", str(tmp_path / "deep" / "google.sqlite"))
    running = start_command(*arguments)
    try:
        assert f"http://127.0.0.1:{port}" in running.stderr.readline()
        google, deadline = LocalGoogleAdmin(f"http://127.0.0.1:{port}"), time.monotonic() + 20
        while True:
            try:
                assert google.health()["messages"] == 0
                break
            except TransientError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        second = start_command(*arguments)
        assert second.wait(20) == 1
        assert f"Port {port} on 127.0.0.1 cannot be had" in second.stderr.read()
        running.send_signal(stop)
        assert running.wait(20) == 0
    finally:
        running.kill()
