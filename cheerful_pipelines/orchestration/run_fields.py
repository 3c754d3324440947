"""What Dagster knows about the step that is being run, for log lines: ids and partition keys only.

Asked for every line, so that no asset, op or check has to bind it, and none can forget to.
"""

from collections.abc import Mapping

import dagster as dg

from cheerful_pipelines.core.logs import add_log_source


def name_runs_in_logs() -> None:
    """From now on lines that are logged in a step carry its run, asset, partition, account and campaign."""
    add_log_source("dagster", run_fields)


def run_fields() -> Mapping[str, str]:
    """Fields of the present step; nothing outside of one."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return {}
    tags = context.run.tags
    found = {"run_id": context.run_id, "job": context.job_name, "op": context.op.name}
    if context.has_assets_def:
        found["asset"] = ", ".join(sorted(key.to_user_string() for key in context.selected_asset_keys))
    ends = (tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end"))
    partition = tags.get("dagster/partition") or (ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}")
    if partition is not None:
        found["partition"] = partition
        found |= _unit(_partitions_def(context), partition)
    for name in ("campaign", "account"):
        if (value := tags.get(f"cheerful/{name}")) is not None:
            found[name] = value
    return found


def _partitions_def(context: dg.OpExecutionContext) -> dg.PartitionsDefinition | None:
    return context.assets_def.partitions_def if context.has_assets_def else context.job_def.partitions_def


def _unit(partitions: dg.PartitionsDefinition | None, key: str) -> dict[str, str]:
    """Whose partition it is. A range over several mailboxes names none here: each is named while it is worked on."""
    if " to " in key:
        return {}
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return {"account": key.partition("|")[0]}  # partitions.ARCHIVE_PARTITIONS: gmail_account, then month
    name = partitions.name if isinstance(partitions, dg.DynamicPartitionsDefinition) else None
    return {"campaign": key} if name == "campaign" else {"account": key} if name == "gmail_account" else {}
