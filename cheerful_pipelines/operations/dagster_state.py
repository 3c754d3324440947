"""What Dagster's own record says: what is switched off, slots that are held, and checks as they were evaluated."""

from typing import NamedTuple

import dagster as dg

_MOST_EVENTS = 2_000


class CheckSeen(NamedTuple):
    """One evaluation of a check."""

    key: str
    """`asset check partition`."""
    passed: bool
    is_error: bool
    run_id: str


def automation_here() -> tuple[list[str], list[str]]:
    """(sensors and schedules that somebody switched off, daemons that are not heard of)."""
    with dg.DagsterInstance.get() as instance:
        states, beats = instance.all_instigator_state(), instance.get_daemon_statuses()
    stopped = sorted(state.instigator_name for state in states if state.status.value == "STOPPED")
    return stopped, sorted(name for name, found in beats.items() if found.required and not found.healthy)


def pools_here() -> tuple[dict[str, int], list[str]]:
    """(slots of each pool that was used, pools in which a run that is over holds a slot)."""
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        slots, stuck = dict[str, int](), list[str]()
        for pool in sorted(storage.get_concurrency_keys()):
            info = storage.get_concurrency_info(pool)
            slots[pool] = info.slot_count
            runs = [instance.get_run_by_id(run_id) for run_id in info.active_run_ids]
            if any(run is None or run.is_finished for run in runs):
                stuck.append(pool)
    return slots, stuck


def checks_since(instance: dg.DagsterInstance, cursor: int | None) -> tuple[list[CheckSeen], int | None]:
    """Evaluations after the cursor in their order, and the new cursor."""
    records = instance.get_event_records(
        dg.EventRecordsFilter(event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=cursor),
        limit=_MOST_EVENTS, ascending=True,
    )  # fmt: skip
    seen = []
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        found = event.asset_check_evaluation_data
        key = " ".join([found.asset_key.to_user_string(), found.check_name, found.partition or ""]).strip()
        is_error = found.severity == dg.AssetCheckSeverity.ERROR
        seen.append(CheckSeen(key, bool(found.passed), is_error, record.run_id))
    return seen, records[-1].storage_id if records else cursor
