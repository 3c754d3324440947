"""The whole graph loads, is what we say it is, and keeps the rules that nobody checks by eye."""

import dagster as dg
import pytest

from cheerful_pipelines.definitions import build_defs

API_ASSETS = {"sheet_recipients", "gmail_messages", "gmail_archive", "metrics_sheet", "sheet_overrides"}

GRAPH = {
    # asset: (group, partitions, upstream assets)
    "sheet_recipients": ("recipients", "campaign", set()),
    "gmail_messages": ("gmail", "gmail_account", set()),
    "gmail_archive": ("gmail", "gmail_account x month", set()),
    "email_threads": ("threads", "campaign", {"sheet_recipients", "gmail_messages", "gmail_archive"}),
    "classifier_evaluation": ("classification", None, set()),
    "thread_classifications": ("classification", "campaign", {"email_threads", "classifier_evaluation"}),
    "sheet_overrides": ("classification", "campaign", {"sheet_recipients"}),
    "review_queue": ("classification", "campaign", {"thread_classifications"}),
    "classification_batches": ("classification", "campaign", {"email_threads"}),
    "batch_verdicts": ("classification", "campaign", {"classification_batches"}),
    "campaign_metrics": ("metrics", "campaign", {"sheet_recipients", "sheet_overrides", "thread_classifications"}),
    "campaign_report": ("metrics", "campaign", {"campaign_metrics"}),
    "metrics_sheet": ("metrics", "campaign", {"campaign_metrics"}),
    "health_report": ("operations", None, set()),
    "portfolio_metrics": ("metrics", None, {"campaign_metrics"}),
}

RUNNING_SENSORS = {
    "registry_partitions",
    "sheet_changes",
    "gmail_changes",
    "archive_months",
    "dead_letters",
    "failed_schedules",
    "campaign_fanout",
    "classifier_versions",
    "llm_batch_results",
    "metric_definitions",
    "campaign_backfills",
    "alerts",
    "lost_workers",
    "portfolio",
}


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def _partitions_name(definition: dg.PartitionsDefinition | None) -> str | None:
    if definition is None:
        return None
    if isinstance(definition, dg.DynamicPartitionsDefinition):
        return definition.name
    assert isinstance(definition, dg.MultiPartitionsDefinition)
    return " x ".join(dimension.name for dimension in definition.partitions_defs)


def test_the_graph_is_the_one_we_promise(defs: dg.Definitions) -> None:
    """A renamed asset, group or partition set breaks what users see: it shows up here as a diff."""
    graph = defs.resolve_asset_graph()
    found = {
        key.to_user_string(): (
            graph.get(key).group_name,
            _partitions_name(graph.get(key).partitions_def),
            {parent.to_user_string() for parent in graph.get(key).parent_keys},
        )
        for key in graph.get_all_asset_keys()
    }

    assert found == GRAPH


def test_every_asset_explains_itself_and_has_an_owner_and_bounded_retries(defs: dg.Definitions) -> None:
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        asset = defs.get_assets_def(key)
        spec = asset.get_asset_spec(key)
        retry = asset.op.retry_policy

        assert len(spec.description or "") > 60, key
        assert spec.owners, key
        assert spec.kinds, key
        assert spec.code_version, key
        assert retry is not None, key
        assert 1 <= retry.max_retries <= 3, key
        assert asset.op.pool is not None, key


def test_every_edge_between_different_partitions_is_written_out(defs: dg.Definitions) -> None:
    """Dagster's default between two dynamic sets is Identity, which would look for equal keys in silence."""
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        for parent in node.parent_keys:
            ours, theirs = node.partitions_def, graph.get(parent).partitions_def
            if ours is None or theirs is None:
                continue
            mapping = node.partition_mappings.get(parent)
            assert mapping is not None, (key, parent)
            expected = dg.IdentityPartitionMapping if ours == theirs else dg.AllPartitionMapping
            assert isinstance(mapping, expected), (key, parent)


def test_sensors_and_schedules_run_without_a_click(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()

    assert {sensor.name for sensor in repository.sensor_defs} == RUNNING_SENSORS
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in repository.sensor_defs)
    assert {schedule.name for schedule in repository.schedule_defs} == {
        "campaign_reports_hourly",
        "metrics_sheet_hourly",
        "health_hourly",
        "nightly_blob_sweep",
        "nightly_count",
        "nightly_proof",
        "nightly_reconcile",
        "nightly_retention",
    }
    assert all(schedule.default_status == dg.DefaultScheduleStatus.RUNNING for schedule in repository.schedule_defs)


def test_assets_that_own_a_table_show_its_columns_and_where_they_come_from(defs: dg.Definitions) -> None:
    """Told from the tables themselves; every column named upstream is a column there."""
    graph = defs.resolve_asset_graph()
    columns = {}
    for name in ("sheet_recipients", "gmail_messages", "gmail_archive", "email_threads", "thread_classifications",
                 "campaign_metrics"):  # fmt: skip
        metadata = graph.get(dg.AssetKey(name)).metadata
        columns[name] = {column.name for column in metadata["dagster/column_schema"].columns}
        assert len(columns[name]) > 8, name
        lineage = metadata.get("dagster/column_lineage")
        for column, deps in (lineage.deps_by_column if lineage else {}).items():
            assert column in columns[name]
            assert all(dep.column_name in columns[dep.asset_key.to_user_string()] for dep in deps), column
