"""A changed sheet starts one import; trouble with one sheet stays its own."""

import threading
from datetime import timedelta
from itertools import pairwise
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.core.errors import AuthError, CheerfulError, NotFoundError, TransientError, UnclearAnswerError
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.orchestration.retries import Work
from cheerful_pipelines.orchestration.side_by_side import SideBySide
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.recipients import sensors as sheet_sensors
from cheerful_pipelines.recipients.models import SheetWatch
from cheerful_pipelines.recipients.sensors import decide, sheet_changes
from cheerful_pipelines.storage.engine import Database, transaction_is_open
from cheerful_pipelines_tests.builders import a_campaign, an_account


def _sheet(slug: str, version: str | None = "1") -> SheetWatch:
    return SheetWatch(
        slug=slug, spreadsheet_id=f"sheet-{slug}", drive_version=version, source_revision=2, is_being_written=False
    )


class VersionsOnly:
    """Sheets that knows Drive's versions, or why not."""

    def __init__(self, **versions: str | CheerfulError) -> None:
        self.versions = versions
        self.asked: list[str] = []

    def drive_version(self, spreadsheet_id: str, *, tries: int = 4) -> str:
        assert not transaction_is_open()
        assert tries == 1, "a tick has no time to wait"
        self.asked.append(spreadsheet_id)
        found = self.versions[spreadsheet_id.removeprefix("sheet-")]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize(
    ("stored", "state", "watermarks", "is_up_to_date"),
    [
        (None, "4", ["4:2"], False),
        ("3", "4", ["4:2"], False),
        ("4", "4", [], True),
        ("4", NotFoundError("gone"), ["missing:2"], False),
        ("4", AuthError("closed"), ["missing:2"], False),
        ("4", TransientError("reset"), [], False),
        ("4", KeyError("a bug"), [], False),
        ("4", UnclearAnswerError("400 without a reason"), [], False),
    ],
)
def test_what_a_sheets_state_asks_for(
    stored: str | None, state: str | BaseException, watermarks: list[str], is_up_to_date: bool
) -> None:
    expected = [Work("sheet:a", watermark) for watermark in watermarks], ["sheet:a"] if is_up_to_date else []

    assert decide([_sheet("a", stored)], {"a": state}) == expected


def test_a_sheet_that_we_write_into_is_left_alone_meanwhile() -> None:
    written = _sheet("a", "3").model_copy(update={"is_being_written": True})

    assert decide([written], {"a": "4"}) == ([], [])


def _tick(
    database: Database, sheets: VersionsOnly, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": database, "sheets": sheets}
    )
    found: Any = sheet_changes(context)
    if isinstance(found, dg.SkipReason):
        return dg.SensorResult(skip_reason=found, cursor=context.cursor)
    assert isinstance(found, dg.SensorResult)
    return found


def test_each_changed_sheet_gets_one_run_and_a_failing_one_does_not_stop_the_others(
    database: Database,
) -> None:
    an_account(database)
    for slug in ("autumn", "spring", "summer"):
        a_campaign(database, slug=slug)
    sheets = VersionsOnly(autumn=NotFoundError("no such sheet"), spring=TransientError("reset"), summer="8")

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaign", ["summer"])
        result = _tick(database, sheets, instance)

    requests = {request.partition_key: request for request in result.run_requests or []}
    assert sorted(requests) == ["autumn", "summer"]
    assert str(requests["summer"].run_key).startswith("sheet:summer:8:0:")
    assert requests["summer"].tags["cheerful/campaign"] == "summer"
    assert "missing" in str(requests["autumn"].run_key)
    assert [list(item.partition_keys) for item in result.dynamic_partitions_requests or []] == [["autumn"]]


def test_an_idle_tick_asks_each_sheet_once_and_skips_in_words(database: Database) -> None:
    an_account(database)
    a_campaign(database, slug="spring")
    sheets = VersionsOnly(spring=TransientError("The connection to Google failed."))

    with dg.DagsterInstance.ephemeral() as instance:
        result = _tick(database, sheets, instance)

    assert sheets.asked == ["sheet-spring"]
    assert not result.run_requests
    assert result.skip_reason is not None
    assert "spring: The connection to Google failed." in str(result.skip_reason.skip_message)


def test_without_campaigns_the_tick_says_so(database: Database) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no active campaign" in str(_tick(database, VersionsOnly(), instance).skip_reason)


def test_a_sheet_whose_poll_hangs_delays_itself_only(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    an_account(database)
    for slug in ("autumn", "spring", "summer"):
        a_campaign(database, slug=slug)
    gate = threading.Event()

    class Hanging(VersionsOnly):
        def drive_version(self, spreadsheet_id: str, *, tries: int = 4) -> str:
            if spreadsheet_id == "sheet-autumn":
                gate.wait(60)
            return super().drive_version(spreadsheet_id, tries=tries)

    monkeypatch.setattr(sheet_sensors, "_POLLS", SideBySide(at_once=2, seconds=5.0))
    sheets, cursor = Hanging(autumn="8", spring="8", summer="8"), None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            result = _tick(database, sheets, instance, cursor)
            cursor = result.cursor
            assert sorted(str(one.partition_key) for one in result.run_requests or []) == ["spring", "summer"]
    gate.set()

    failure = WorkFailureStore(database).failures()["sheet:autumn"]
    assert (failure.failure_class, failure.error) == ("transient", "SlowCallError")


@pytest.mark.parametrize("answer", [UnclearAnswerError("400"), KeyError("version")], ids=["400", "a bug"])
def test_a_sheet_whose_polls_are_answered_oddly_is_asked_at_least_every_ten_minutes(
    database: Database, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    an_account(database)
    a_campaign(database, slug="spring")
    sheets, cursor, start = VersionsOnly(spring=answer), None, helper.now()  # type: ignore[arg-type]
    asked_at = list[timedelta]()
    with dg.DagsterInstance.ephemeral() as instance:
        for minute in range(0, 6 * 60, 2):
            monkeypatch.setattr(helper, "now", lambda minute=minute: start + timedelta(minutes=minute))
            sheets.asked.clear()
            result = _tick(database, sheets, instance, cursor)
            assert not result.run_requests, "an import would say the same"
            cursor = result.cursor
            asked_at += [timedelta(minutes=minute)] * bool(sheets.asked)

    waits = [later - earlier for earlier, later in pairwise(asked_at)]
    assert max(waits) <= timedelta(minutes=10)
    assert len(asked_at) < 100, "three polls in a row each time, and no busy loop"


def test_an_import_that_failed_is_asked_for_after_a_day_and_for_a_new_version_sooner(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account(database)
    a_campaign(database, slug="spring")
    WorkFailureStore(database).record("sheet:spring", "permanent", at=helper.now(), run_id="failed-1", watermark="8:0")
    start = helper.now()

    def keys(version: str, after: timedelta) -> list[str]:
        monkeypatch.setattr(helper, "now", lambda: start + after)
        result = _tick(database, VersionsOnly(spring=version), instance)
        return [str(one.run_key) for one in result.run_requests or []]

    with dg.DagsterInstance.ephemeral() as instance:
        assert keys("8", timedelta(hours=23)) == []
        (repaired,) = keys("9", timedelta(seconds=1))
        (daily,) = keys("8", timedelta(hours=25))
    assert "after-failed-1" in repaired
    assert repaired != daily


def test_a_sheet_or_a_setting_that_is_repaired_is_imported_with_the_next_tick_after_days_of_failure(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = an_account(database)
    a_campaign(database, slug="spring")
    store, start = WorkFailureStore(database), helper.now()
    for day in range(10):
        store.record("sheet:spring", "permanent", at=start - timedelta(days=9 - day), run_id=f"r{day}", watermark="8:0")

    def asked(version: str, after: timedelta) -> int:
        monkeypatch.setattr(helper, "now", lambda: start + after)
        return len(_tick(database, VersionsOnly(spring=version), instance).run_requests or [])

    with dg.DagsterInstance.ephemeral() as instance:
        assert asked("8", timedelta(seconds=10)) == 0
        assert asked("9", timedelta(seconds=10)) == 1, "its owner changed the sheet"
        store.record("sheet:spring", "permanent", at=start + timedelta(seconds=20), run_id="r10", watermark="9:0")
        assert asked("10", timedelta(seconds=30)) == 0, "the change repaired nothing: the next one waits"
        assert asked("10", timedelta(seconds=80)) == 1
        store.record("sheet:spring", "permanent", at=start + timedelta(days=1), run_id="r11", watermark="9:0")
        a_campaign(database, slug="spring", senders=(account.alias,), sheet_tab="Another tab")
        assert asked("9", timedelta(days=1, seconds=10)) == 1, "the campaign names another tab"
