"""Launches over real HTTP by every launching mutation of Dagster's schema: each says who launched it, and an analyst's
carry no tag and no run config that steers infrastructure."""

import pytest
from dagster import DagsterInstance
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import DagsterRun

from cheerful_pipelines_tests.web.installation import Installation
from cheerful_pipelines_tests.web.launching import (
    Parents,
    Tags,
    backfill_params,
    calls,
    documents,
    launch_params,
    launching_mutations,
)

FORGED: Tags = [{"key": "cheerful/launched_by", "value": "somebody else"}]
RESERVED = {
    "dagster-k8s/config": "{}", "ecs/cpu": "256", "ecs/task_overrides": "{}", "dagster-celery/queue": "other",
    "dagster-celery/task_id": "1", "dagster-docker/image": "evil", "dagster/image": "evil.example/image",
    "dagster/priority": "100", "dagster/concurrency_key": "gmail", "dagster/max_runtime": "1",
    "dagster/max_retries": "9", "dagster/isolation": "disabled", "dagster/backfill": "abcdefgh",
    "dagster/sensor_name": "live_sync", "dagster/run_key": "k", "dagster/schedule_name": "s", "cheerful/campaign": "x",
    "cheerful/sync": "live", "cheerful/trigger": "sensor", "cheerful/backfill": "1", ".dagster/repository": "r",
    "user": "somebody", "colour": "blue", "dagster/partition/": "spring", "DAGSTER-K8S/config": "{}",
    " dagster-k8s/config": "{}", "": "empty",
}  # fmt: skip
"""Tags that no analyst may set: infrastructure, our own, what sensors and schedules set, and whatever else."""
NEEDED_BY_THE_UI = {
    "dagster/partition": "spring", "dagster/partition_set": "seasonal_partition_set",
    "dagster/asset_partition_range_start": "spring", "dagster/asset_partition_range_end": "summer",
    "dagster/step_selection": "*work", "dagster/solid_selection": "work", "dagster/preset_name": "default",
    "dagster/from_ui": "true",
}  # fmt: skip


class Storage:
    """What is new in Dagster's storage since the last look."""

    def __init__(self, instance: DagsterInstance) -> None:
        self._instance = instance
        self._runs: set[str] = set()
        self._backfills: set[str] = set()
        self.new()

    def new(self) -> list[DagsterRun | PartitionBackfill]:
        """Runs and backfills that were not there at the last look."""
        runs = [run for run in self._instance.get_runs() if run.run_id not in self._runs]
        backfills = [one for one in self._instance.get_backfills() if one.backfill_id not in self._backfills]
        self._runs |= {run.run_id for run in runs}
        self._backfills |= {one.backfill_id for one in backfills}
        return [*runs, *backfills]


@pytest.fixture
def storage(web: Installation) -> Storage:
    return Storage(web.instance)


def parents_of(web: Installation, storage: Storage, role: str = "engineer", tags: Tags | None = None) -> Parents:
    """A run and a failed backfill of an engineer's."""
    words = "__typename ... on Error { message }"
    launched = f"mutation ($p: ExecutionParams!) {{ launchRun(executionParams: $p) {{ {words} }} }}"
    started = f"mutation ($p: LaunchBackfillParams!) {{ launchPartitionBackfill(backfillParams: $p) {{ {words} }} }}"
    for document, params in ((launched, launch_params(tags or [])), (started, backfill_params(tags or []))):
        said = web.as_role(role, document, {"p": params}).text
        assert "Success" in said, said
    run, backfill = storage.new()
    assert isinstance(run, DagsterRun)
    assert isinstance(backfill, PartitionBackfill)
    web.instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELED))
    return Parents(run.run_id, backfill.backfill_id)


def test_every_launching_mutation_of_this_dagster_is_tried_below() -> None:
    assert launching_mutations() == frozenset(calls([], Parents("", "")))


@pytest.mark.parametrize("mutation", sorted(launching_mutations()))
def test_who_launches_is_neither_forged_nor_missing(mutation: str, web: Installation, storage: Storage) -> None:
    """By variables, literals, defaults, fragments with aliases, and variables within literals."""
    parents = parents_of(web, storage)
    for number, (argument, kind, value) in enumerate(calls(FORGED, parents)[mutation]):
        for document, variables in documents(mutation, argument, kind, value)[: None if number == 0 else 1]:
            answer = web.as_role("analyst", document, variables)
            found = storage.new()
            if mutation == "resumePartitionBackfill":
                found = [_resumed(web, parents.backfill_id)]
            assert found, (document, answer.text)
            assert [one.tags["cheerful/launched_by"] for one in found] == ["user-analyst"] * len(found), document


def _resumed(web: Installation, backfill_id: str) -> PartitionBackfill:
    """The backfill, if it was resumed; it is cancelled again, as somebody else's."""
    found = web.instance.get_backfill(backfill_id)
    assert found is not None
    assert found.status is BulkActionStatus.REQUESTED
    cancelled = found.with_status(BulkActionStatus.CANCELED)
    web.instance.update_backfill(cancelled._replace(tags={"cheerful/launched_by": "old"}))
    return found


def test_runs_of_a_backfill_that_is_submitted_at_once_are_checked_as_well(web: Installation, storage: Storage) -> None:
    document = "mutation ($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
    params = {**backfill_params(FORGED), "forceSynchronousSubmission": True}
    web.as_role("engineer", document, {"p": params})
    assert [one.tags["cheerful/launched_by"] for one in storage.new()] == ["user-engineer"]


def test_an_engineers_launch_says_so_too_and_keeps_other_tags(web: Installation, storage: Storage) -> None:
    tags = [*FORGED, {"key": "dagster-k8s/config", "value": "{}"}, {"key": "colour", "value": "blue"}]
    document = "mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    web.as_role("engineer", document, {"p": launch_params(tags)})
    (run,) = storage.new()
    assert run.tags["cheerful/launched_by"] == "user-engineer"
    assert run.tags["dagster-k8s/config"] == "{}"
    assert run.tags["colour"] == "blue"


@pytest.mark.parametrize("key", sorted(RESERVED))
def test_no_analyst_sets_a_reserved_tag(key: str, web: Installation, storage: Storage, parents: Parents) -> None:
    storage.new()
    tried = calls([{"key": key, "value": RESERVED[key]}], parents)
    mutations = ("launchRun", "launchPartitionBackfill") if key != "dagster-k8s/config" else tuple(tried)
    for mutation in mutations:
        for argument, kind, value in tried[mutation]:
            if "tags" not in str(value).lower():
                continue  # takes no tags
            document = f"mutation ($v: {kind}) {{ {mutation}({argument}: $v) {{ {_words(mutation)} }} }}"
            said = web.as_role("analyst", document, {"v": value}).text
            assert storage.new() == [], (mutation, said)
            assert "may not set these tags" in said or not key.strip(), said


@pytest.fixture(scope="module")
def parents(running: Installation) -> Parents:
    return parents_of(running, Storage(running.instance))


def _words(mutation: str) -> str:
    words = "__typename ... on UnauthorizedError { message } ... on PythonError { message }"
    if mutation != "launchMultipleRuns":
        return words
    return f"... on LaunchMultipleRunsResult {{ launchMultipleRunsResult {{ {words} }} }}"


def test_an_analyst_launches_with_everything_that_the_ui_sends(web: Installation, storage: Storage) -> None:
    """And with the tags of the job's own definition, which are ours."""
    tags = [{"key": key, "value": value} for key, value in NEEDED_BY_THE_UI.items()]
    document = "mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    web.as_role("analyst", document, {"p": launch_params(tags)})
    (run,) = storage.new()
    assert run.tags.items() >= NEEDED_BY_THE_UI.items()
    assert (run.tags["dagster/priority"], run.tags["team"]) == ("3", "data")
    changed = [{"key": "dagster/priority", "value": "99"}]
    web.as_role("analyst", document, {"p": launch_params(changed)})
    assert storage.new() == []


def test_executing_again_inherits_tags_but_not_infrastructure(web: Installation, storage: Storage) -> None:
    """As the UI does it: all tags of the parent run are sent, or inherited by Dagster."""
    of_parent: Tags = [
        {"key": "cheerful/campaign", "value": "spring"}, {"key": "dagster-k8s/config", "value": "{}"},
        {"key": "dagster-celery/task_id", "value": "t1"}, {"key": "colour", "value": "blue"},
    ]  # fmt: skip
    parents = parents_of(web, storage, tags=of_parent)
    for mutation in ("launchRunReexecution", "reexecutePartitionBackfill"):
        for argument, kind, value in calls(of_parent, parents)[mutation]:
            document = f"mutation ($v: {kind}) {{ {mutation}({argument}: $v) {{ __typename }} }}"
            answer = web.as_role("analyst", document, {"v": value})
            (again,) = storage.new() or pytest.fail(answer.text)
            kept = {"cheerful/campaign": "spring", "colour": "blue", "cheerful/launched_by": "user-analyst"}
            assert again.tags.items() >= kept.items()
            assert not {"dagster-k8s/config", "dagster-celery/task_id"} & set(again.tags)


def test_a_run_of_another_job_passes_nothing_on(web: Installation, storage: Storage) -> None:
    tags: Tags = [{"key": "cheerful/campaign", "value": "spring"}]
    parents = parents_of(web, storage, tags=tags)
    document = "mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
    params = launch_params(tags, job="seasonal", parentRunId=parents.run_id, rootRunId=parents.run_id)
    web.as_role("analyst", document, {"p": params})
    assert storage.new() == []


@pytest.mark.parametrize(
    ("role", "config", "is_stored"),
    [
        ("analyst", '{"ops": {"work": {"config": {"fails": true}}}}', True),
        ("analyst", '{"ops": {}, "execution": {}, "loggers": {}}', True),
        ("analyst", '{"execution": {"config": {"retries": {"disabled": {}}}}}', False),
        ("analyst", '{"loggers": {"console": {"config": {"log_level": "DEBUG"}}}}', False),
        ("engineer", '{"execution": {"config": {"retries": {"disabled": {}}}}}', True),
    ],
)
def test_analysts_configure_ops_only(
    role: str, config: str, is_stored: bool, web: Installation, storage: Storage
) -> None:
    document = """mutation ($p: ExecutionParams!) {
        launchRun(executionParams: $p) { __typename ... on Error { message } }
    }"""
    said = web.as_role(role, document, {"p": launch_params([], config=config)}).text
    assert bool(storage.new()) is is_stored, said
    assert is_stored or "may not configure these sections" in said
    started = "mutation ($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
    web.as_role(role, started, {"p": {**backfill_params([]), "runConfigData": config}})
    assert bool(storage.new()) is is_stored


def test_viewers_store_nothing_by_any_launching_mutation(web: Installation, storage: Storage, parents: Parents) -> None:
    storage.new()
    for mutation, arguments in calls([], parents).items():
        argument, kind, value = arguments[0]
        document = f"mutation ($v: {kind}) {{ {mutation}({argument}: $v) {{ __typename }} }}"
        assert web.as_role("viewer", document, {"v": value}).status_code == 403
    assert storage.new() == []
