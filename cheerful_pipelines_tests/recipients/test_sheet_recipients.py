"""The asset on a real database and the local Google server: what it stores, says and refuses."""

from collections.abc import Iterator

import dagster as dg
import pytest

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.recipients.assets import GUARD_NAME
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.recipients.importer import Importer

PEOPLE = [[f"P{number}", f"p{number}@creator.example"] for number in range(20)]


@pytest.fixture
def importer(database: Database, google: LocalGoogleAdmin, google_settings: Settings) -> Iterator[Importer]:
    made = Importer(database, google, google_settings)
    yield made
    google.clear_faults()
    made.instance.dispose()


def test_an_import_says_what_it_did_and_a_second_one_that_it_did_nothing(importer: Importer) -> None:
    importer.put(*PEOPLE[:3], ["Again", "P1@creator.example"], ["No", None], ["Bad", "#N/A"])

    first, second = importer.said(importer.run()), importer.said(importer.run())

    counts = ("rows", "active", "added", "duplicate", "no_address", "rejected", "removed", "unchanged")
    assert {name: first[name] for name in counts} == {
        "rows": 6,
        "active": 3,
        "added": 3,
        "duplicate": 1,
        "no_address": 1,
        "rejected": 1,
        "removed": 0,
        "unchanged": 0,
    }
    assert (second["added"], second["changed"], second["removed"], second["unchanged"]) == (0, 0, 0, 3)
    assert (first["recipients_revision_after"], second["recipients_revision_after"]) == (1, 1)
    assert first["mode"] == "local"
    assert "/creators/" in first["sheet"]


def test_nothing_it_says_holds_an_address(importer: Importer) -> None:
    importer.put(*PEOPLE, ["Again", "p1@creator.example"], ["Bad", "p3@creator"])

    text = str(importer.said(importer.run()))

    assert "@creator" not in text
    assert "| 22 | B22 | duplicate |" in text


def test_the_data_version_follows_the_people_and_not_the_order_of_the_rows(importer: Importer) -> None:
    def version() -> str:
        (event,) = importer.run().asset_materializations_for_node("sheet_recipients")
        return str((event.tags or {})["dagster/data_version"])

    importer.put(*PEOPLE)
    first = version()
    importer.put(*reversed(PEOPLE))
    turned = version()
    importer.put(*PEOPLE[:-1])
    shorter = version()

    assert first == turned != shorter


def test_a_sheet_that_loses_too_many_people_stops_until_somebody_says_yes(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    importer.put(*PEOPLE[:5])

    refused = importer.run()
    kept = importer.active()
    allowed = importer.run(allow_removals=True)

    failure = refused.failure_data_for_node("sheet_recipients")
    guard = importer.checks(refused)[GUARD_NAME]
    assert failure is not None
    assert "remove 15 of 20" in str(failure.error)
    assert "allow_removals: true" in str(failure.error)
    assert not guard.passed
    assert guard.blocking
    assert "remove 15 of 20" in str(guard.description)
    assert not refused.retry_attempts_for_node("sheet_recipients")
    assert kept == 20
    assert allowed.success
    assert importer.active() == 5


@pytest.mark.parametrize("header", [("Name", "Contact details"), ("", "")])
def test_a_lost_address_column_stops_the_import_and_keeps_everybody(
    importer: Importer, header: tuple[str, str]
) -> None:
    importer.put(*PEOPLE)
    importer.run()
    importer.put(header=header)

    result = importer.run()

    assert not result.success
    assert "e-mail column" in str(result.failure_data_for_node("sheet_recipients"))
    assert not importer.checks(result)[GUARD_NAME].passed
    assert importer.active() == 20


def test_a_missing_sheet_fails_once_in_words(importer: Importer) -> None:
    result = importer.run()

    failure = result.failure_data_for_node("sheet_recipients")
    assert "no spreadsheet creators" in str(failure)
    assert not result.retry_attempts_for_node("sheet_recipients")


def test_a_read_that_fails_midway_changes_nothing(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    importer.put(*PEOPLE[:18])
    importer.google.inject_fault(path_contains="/values", status=400, kind="json", times=50)

    result = importer.run()

    assert not result.success
    assert importer.active() == 20


def test_checks_warn_about_many_rejected_and_repeated_rows_and_miss_an_empty_list(importer: Importer) -> None:
    importer.put(["A", "x"], ["B", "y"], ["C", "z"])

    checks = importer.checks(importer.run())

    assert {name: check.passed for name, check in checks.items()} == {
        GUARD_NAME: True,
        "headers_as_before": True,
        "few_removed_people": True,
        "few_rejected_rows": False,
        "few_duplicate_rows": True,
        "has_active_recipients": False,
        "nobody_suppressed_is_listed": True,
    }
    assert checks["few_rejected_rows"].severity == dg.AssetCheckSeverity.WARN
    assert checks["has_active_recipients"].severity == dg.AssetCheckSeverity.ERROR
