"""Every import contract can fail: one violation of each is planted in a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLANTED = {
    "Only assets, sensors, checks and the files at the top import dagster": ("threads/membership.py", "import dagster"),
    "Only stores and storage import sqlalchemy": ("cli/tables.py", "import sqlalchemy"),
    "Only clients import Google's libraries": ("mail/gmail/history.py", "import googleapiclient.errors"),
    "Only one module knows the libraries of language models": ("classification/review.py", "import pydantic_ai"),
    "What calls itself pure reaches no library that does I/O": ("core/plain_text.py", "import requests"),
    "Imports follow the order of the data": ("campaigns/models.py", "import cheerful_pipelines.cli.tables"),
    "Within mail": ("mail/models.py", "import cheerful_pipelines.mail.gmail.history"),
    "The product does not know the demo": ("metrics/models.py", "import cheerful_pipelines.demo.models"),
    "The local Google server stands alone": ("local_google/cells.py", "import cheerful_pipelines.storage.blobs"),
}
"""By the beginning of the contract's name: where, and what."""
DEAD = 'importers = ["classification.llm.llm_classifier", "classification.gone"]'


def _contracts(text: str) -> list[str]:
    return re.findall(r'^\[\[tool\.importlinter\.contracts\]\]\nname = "(.*)"$', text, re.M)


def _copy(to: Path) -> Path:
    shutil.copytree(
        REPOSITORY / "cheerful_pipelines", to / "cheerful_pipelines", ignore=shutil.ignore_patterns("__pycache__")
    )
    (to / "infra").mkdir()
    for name in ("pyproject.toml", "infra/import_contracts.py"):
        shutil.copy(REPOSITORY / name, to / name)
    return to


def _lint(copy: Path) -> str:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    ran = subprocess.run(command, cwd=copy, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


def test_each_contract_catches_a_violation_of_it(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    for path, line in PLANTED.values():
        file = copy / "cheerful_pipelines" / path
        file.write_text(f"{file.read_text()}\n{line}  # noqa\n")

    said = _lint(copy)

    kept = re.findall(r"^(.*) KEPT", said, re.M)
    names = _contracts((REPOSITORY / "pyproject.toml").read_text())
    assert sorted(name for name in names if not name.startswith(tuple(PLANTED))) == [], "a contract without a violation"
    assert f"Contracts: 0 kept, {len(PLANTED)} broken." in said, (kept, said[-3000:])


def test_an_exception_that_nobody_needs_is_an_error(tmp_path: Path) -> None:
    copy = _copy(tmp_path)
    settings = copy / "pyproject.toml"
    changed = settings.read_text().replace('importers = ["classification.llm.llm_classifier"]', DEAD)
    assert DEAD in changed
    settings.write_text(changed)

    assert "classification.gone imports none of them any more" in " ".join(_lint(copy).split())


@pytest.mark.parametrize("setting", ["unmatched_ignore_imports_alerting", "exclude_type_checking_imports"])
def test_no_setting_hides_an_exception(setting: str) -> None:
    assert setting not in (REPOSITORY / "pyproject.toml").read_text()
