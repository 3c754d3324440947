"""An export is the person's own: their mail, nobody else's words, for its owner's eyes only."""

# ruff: noqa: F401, F811  (a fixture of test_erase)

import json
import os
import zipfile
from pathlib import Path

import pytest

from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.people import export_person as module
from cheerful_pipelines.people.export_person import export_person
from cheerful_pipelines.people.own_data import own_bytes
from cheerful_pipelines_tests.builders import START
from cheerful_pipelines_tests.people.test_erase import ANA, BO, SPELLINGS, ours, running, user_id
from cheerful_pipelines_tests.pipeline import Pipeline

GROUP = b"""From: 'Ana' via Collabs <collabs@agency.example>
X-Original-From: Ana Lima <%s>
List-ID: <collabs.agency.example>
To: mia@brand.example
Message-ID: <via-group@agency.example>
In-Reply-To: <p0@brand.example>
Subject: Re: Join us

Written through the group.
""" % SPELLINGS[0].encode()

TO_BOTH = b"""From: mia@brand.example
To: %s
Cc: %s
Bcc: secret@creator.example,
 second-line@creator.example
Message-ID: <both@brand.example>
Subject: To both of you

Hello.
""" % (SPELLINGS[2].encode(), BO.encode())


@pytest.fixture
def exported(running: Pipeline, google: LocalGoogleAdmin, tmp_path: Path) -> Path:
    """Ana's archive, made under a mask that lets everybody read."""
    google.deliver("mia@brand.example", GROUP, internal_date=START)
    google.deliver("mia@brand.example", TO_BOTH, label_ids=("SENT",), internal_date=START)
    running.sync_everything()
    with ours(running).transaction() as connection:
        connection.exec_driver_sql(
            "insert into thread_override (gmail_account_id, gmail_thread_id, label, author, reason) "
            "select gmail_account_id, gmail_thread_id, 'interested', 'colleague-kim', 'kim says she is difficult' "
            "from gmail_message where from_key = 'analima@gmail.com' limit 1"
        )
    path, mask = tmp_path / "ana.zip", os.umask(0o000)
    try:
        export_person(running.database, running.resources["blobs"], user_id(running), [ANA], path)
    finally:
        os.umask(mask)
    return path


def test_an_export_holds_what_the_person_sent_or_received_and_nothing_else(exported: Path) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(exported) as archive:
        everything = {name: archive.read(name).decode() for name in archive.namelist()}
    mails = [text for name, text in everything.items() if name.endswith(".eml")]
    ids = {row["rfc822_message_id"] for row in json.loads(everything["messages.json"])}

    assert len(mails) == len(ids) == 4  # to her, from her, through the group, to both; not the friend's about her
    assert {one.strip("<>") for one in ids} == {
        "p0@brand.example", "r0@brand.example", "via-group@agency.example", "both@brand.example"
    }  # fmt: skip
    for words in (
        "Ask my friend",
        "friend@creator.example",
        "secret@creator",
        "second-line",
        "colleague-kim",
        "difficult",
    ):
        assert not [name for name, text in everything.items() if words in text], words
    assert "interested" in everything["overrides.json"]
    assert "Yes, I would love to join!" in everything["messages.json"]
    assert BO in everything["messages.json"]  # in Cc, where she could see it


def test_an_export_that_fails_leaves_no_file_and_never_replaces_one(
    running: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "ana.zip"
    arguments = (running.database, running.resources["blobs"], user_id(running), [ANA], path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export_person(*arguments)
    assert not path.exists()

    path.write_text("somebody's")
    with pytest.raises(FileExistsError):
        export_person(*arguments)
    assert path.read_text() == "somebody's"
    with pytest.raises(NotFoundError):
        export_person(*arguments[:3], ["nobody@creator.example"], tmp_path / "nobody.zip")
    assert not (tmp_path / "nobody.zip").exists()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_bcc_is_cut_from_the_headers_and_from_nowhere_else(end: bytes) -> None:
    raw = end.join(
        (b"To: a@x.example", b"BCC: b@x.example,", b"\tc@x.example", b"Subject: s", b"", b"Bcc: in the body", b"")
    )

    assert own_bytes(raw) == end.join((b"To: a@x.example", b"Subject: s", b"", b"Bcc: in the body", b""))
