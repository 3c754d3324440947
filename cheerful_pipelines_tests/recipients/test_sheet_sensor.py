"""A changed sheet starts one import; trouble with one sheet stays its own."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.errors import AuthError, CheerfulError, NotFoundError, TransientError
from cheerful_pipelines.recipients.models import SheetWatch
from cheerful_pipelines.recipients.sensors import decide, from_slug_on, look, sheet_changes
from cheerful_pipelines.storage.engine import Database, transaction_is_open
from cheerful_pipelines_tests.builders import a_campaign, an_account

TODAY = date(2026, 10, 1)


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
        if isinstance(found, CheerfulError):
            raise found
        return found


@pytest.mark.parametrize(
    ("stored", "state", "run_keys"),
    [
        (None, "4", ["a:4:2:2026-10-01"]),
        ("3", "4", ["a:4:2:2026-10-01"]),
        ("4", "4", []),
        ("4", NotFoundError("gone"), ["a:missing:2026-10-01"]),
        ("4", AuthError("closed"), ["a:missing:2026-10-01"]),
        ("4", TransientError("reset"), []),
    ],
)
def test_what_a_sheets_state_asks_for(stored: str | None, state: str | CheerfulError, run_keys: list[str]) -> None:
    assert [key for _, key in decide([_sheet("a", stored)], {"a": state}, today=TODAY)] == run_keys


def test_a_sheet_that_we_write_into_is_left_alone_meanwhile() -> None:
    written = _sheet("a", "3").model_copy(update={"is_being_written": True})

    assert decide([written], {"a": "4"}, today=TODAY) == []


def test_a_version_whose_import_failed_is_asked_for_once_more_on_the_next_day() -> None:
    keys = [decide([_sheet("a", "3")], {"a": "4"}, today=day)[0][1] for day in (TODAY, TODAY, date(2026, 10, 2))]

    assert keys[0] == keys[1] != keys[2]


def test_a_tick_that_runs_out_of_time_goes_on_at_the_next_sheet() -> None:
    clock = iter([0.0, 0.0, 30.0, 41.0])
    watched = [_sheet("a"), _sheet("b"), _sheet("c")]

    states, go_on_at = look(watched, lambda _: "1", budget_seconds=40, clock=lambda: next(clock))

    assert (sorted(states), go_on_at) == (["a", "b"], "c")
    assert [sheet.slug for sheet in from_slug_on(watched, go_on_at)] == ["c", "a", "b"]
    assert [sheet.slug for sheet in from_slug_on(watched, None)] == ["a", "b", "c"]


def _tick(database: Database, sheets: VersionsOnly, instance: dg.DagsterInstance) -> dg.SensorResult:
    context = dg.build_sensor_context(instance=instance, resources={"database": database, "sheets": sheets})
    found: Any = sheet_changes(context)
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
    assert requests["summer"].run_key == f"summer:8:0:{datetime.now(UTC).date()}"
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
    assert "spring: The connection to Google failed." in str(result.skip_reason)


def test_without_campaigns_the_tick_says_so(database: Database) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no active campaign" in str(_tick(database, VersionsOnly(), instance).skip_reason)
