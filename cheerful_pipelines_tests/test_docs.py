"""What the documents list is what there is: assets, sensors, schedules, folders, commands."""

import re
from pathlib import Path

import pytest

from cheerful_pipelines.definitions import defs
from cheerful_pipelines.schedules import SCHEDULES
from cheerful_pipelines_tests.test_definitions import GRAPH

REPOSITORY = Path(__file__).resolve().parents[1]


def table(document: str, header: str) -> dict[str, list[str]]:
    """Rows of a Markdown table by the names in their first cell; a row may name several."""
    text = (REPOSITORY / document).read_text("utf-8")
    assert header in text, f"{document} has no table with the header {header}"
    rows = {}
    for line in text.partition(header)[2].splitlines()[2:]:
        if not line.startswith("|"):
            break
        first, *rest = (cell.strip() for cell in line.strip("|").split(" | "))
        for name in re.findall(r"`([^`]+)`", first):
            assert name not in rows, f"{document} lists {name} twice"
            rows[name] = rest
    return rows


SENSOR_NAMES = {sensor.name for sensor in defs.sensors or ()}
SCHEDULE_NAMES = {schedule.name for schedule in SCHEDULES}


def test_readme_lists_every_asset_with_its_partition() -> None:
    graph = defs.resolve_asset_graph()
    listed = table("README.md", "| asset | partition | one materialization means |")

    assert set(listed) == {key.to_user_string() for key in graph.materializable_asset_keys}
    for key in graph.materializable_asset_keys:
        name = key.to_user_string()
        assert listed[name][0].replace("×", "x") == (GRAPH[name][1] or "none"), "as test_definitions.py has it"


def test_readme_lists_every_sensor_and_schedule() -> None:
    listed = table("README.md", "| sensor or schedule | looks | asks for |")

    assert set(listed) == SENSOR_NAMES | SCHEDULE_NAMES


def test_operations_lists_every_schedule_with_its_time() -> None:
    listed = table("docs/operations.md", "| schedule | UTC | what |")

    assert set(listed) == SCHEDULE_NAMES
    for schedule in SCHEDULES:
        minute, hour, *_ = str(schedule.cron_schedule).split()
        time = f":{int(minute):02}" if hour == "*" else f"{int(hour):02}:{int(minute):02}"
        assert time in listed[schedule.name][0], schedule.name


def test_contributing_lists_every_folder_of_the_package() -> None:
    listed = {name.strip("/") for name in table("CONTRIBUTING.md", "| folder | what belongs in it |")}
    package = REPOSITORY / "cheerful_pipelines"

    assert listed == {path.name for path in package.iterdir() if (path / "__init__.py").exists()}


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md"))]
)
def test_files_that_documents_name_exist(document: str) -> None:
    """Paths in backticks, from the repository's root, from the package's, or from the tests'."""
    text = (REPOSITORY / document).read_text("utf-8")
    roots = [
        REPOSITORY,
        *(REPOSITORY / folder for folder in ("cheerful_pipelines", "infra", "cheerful_pipelines_tests")),
    ]
    named = set(re.findall(r"`((?:\./)?[\w./-]+/[\w.-]+\.(?:py|md|sh|toml|yaml|txt|jsonl|json))`", text))
    named = {path for path in named if not path.startswith("CHEERFUL_HOME/")}  # made by a start
    missing = {path for path in named if not any((root / path).exists() for root in roots)}

    assert missing == set()
