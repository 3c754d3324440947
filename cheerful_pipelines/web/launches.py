"""What a launch may carry: who launched it, which tags, and which parts of the run config. Pure.

The rules are applied to the final run or backfill, directly before Dagster stores it (guarded_instance.py), so that
it does not matter how a tag got there. A tag of an analyst is one of these:

    needed by the UI   ALLOWED: partition, range, parent run, ...
    our own code's     the job's definition carries it with that value
    inherited          the run or backfill that is executed again carries it with that value; what steers
                       infrastructure (INFRASTRUCTURE) is not inherited but dropped
    anything else      refused

Run tags can choose a container image, a service account, a queue, a priority: they are for engineers.
"""

from collections.abc import Mapping
from typing import Any

from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.web.roles import Role

LAUNCHED_BY = "cheerful/launched_by"
"""The run tag that names the user who launched it, by the id that Supabase Auth gave them."""

ALLOWED = frozenset(
    {
        "dagster/partition", "dagster/partition_set", "dagster/asset_partition_range_start",
        "dagster/asset_partition_range_end", "dagster/parent_run_id", "dagster/root_run_id",
        "dagster/parent_backfill_id", "dagster/root_backfill_id", "dagster/is_resume_retry",
        "dagster/is_asset_resume_retry", "dagster/step_selection", "dagster/solid_selection", "dagster/op_selection",
        "dagster/preset_name", "dagster/from_ui", "dagster/code_location",
    }
)  # fmt: skip
"""Tags that Dagster's UI sends, or Dagster itself adds, when somebody launches, re-executes or backfills. Seen in the
requests of dagster-webserver 1.13. Partitions of several dimensions carry ALLOWED_PREFIX and the dimension as well."""

ALLOWED_PREFIX = "dagster/partition/"

INFRASTRUCTURE = (
    "dagster-k8s/", "dagster-celery/", "dagster-docker/", "dagster-aws/", "dagster-azure/", "dagster-gcp/", "ecs/",
    "dagster/image", "dagster/priority", "dagster/concurrency_key", "dagster/max_runtime", "dagster/max_retries",
    "dagster/retry_", "dagster/isolation", "dagster/agent", "dagster/run_metrics", ".dagster/", "celery-k8s/",
)  # fmt: skip
"""Beginnings of tags that say where and how a run is executed. An analyst's re-execution does not inherit them."""

PLAIN_SECTIONS = frozenset({"ops", "solids", "inputs"})
"""Sections of a run config that reach our ops only; execution, resources and loggers reach the process around them."""


class LaunchRefusedError(PermanentError):
    """A launch carries something that its visitor's role may not choose."""


def approved_tags(
    role: Role,
    user_id: str,
    tags: Mapping[str, str],
    *,
    own: Mapping[str, str],
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """The tags that are stored: checked for the role, with the launcher's tag. Raises LaunchRefusedError.

    `own` are the tags of the job's definition, `inherited` those of the run or backfill that is executed again.

    >>> approved_tags("analyst", "u1", {"dagster/partition": "spring", LAUNCHED_BY: "u2"}, own={}, inherited={})
    {'dagster/partition': 'spring', 'cheerful/launched_by': 'u1'}
    """
    kept = tags if role == "engineer" else _kept_for_analyst(tags, own, inherited)
    return {**{key: value for key, value in kept.items() if key != LAUNCHED_BY}, LAUNCHED_BY: user_id}


def _kept_for_analyst(tags: Mapping[str, str], own: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    refused: list[str] = []
    for key, value in tags.items():
        if key == LAUNCHED_BY:
            continue
        if _is_allowed(key) or own.get(key) == value:
            kept[key] = value
        elif inherited.get(key) != value:
            refused.append(key)
        elif not key.startswith(INFRASTRUCTURE):
            kept[key] = value
    if refused:
        raise LaunchRefusedError(
            f"The role analyst may not set these tags: {', '.join(sorted(refused)[:10])}.",
            what_to_do="Launch without them, or ask an engineer.",
        )
    return kept


def _is_allowed(key: str) -> bool:
    return key in ALLOWED or (key.startswith(ALLOWED_PREFIX) and len(key) > len(ALLOWED_PREFIX))


def check_run_config(role: Role, run_config: Mapping[str, Any], *, inherited: Mapping[str, Any]) -> None:
    """Raise LaunchRefusedError if an analyst configures more than ops, unless it is what the parent run had.

    >>> check_run_config("analyst", {"ops": {"a": {}}, "execution": {}}, inherited={})
    """
    if role == "engineer":
        return
    refused = [
        section
        for section, content in run_config.items()
        if section not in PLAIN_SECTIONS and content not in (None, {}) and inherited.get(section) != content
    ]
    if refused:
        raise LaunchRefusedError(
            f"The role analyst may not configure these sections of a run: {', '.join(sorted(map(str, refused)))}.",
            what_to_do="Leave them out of the run config (ops may be configured), or ask an engineer.",
        )
