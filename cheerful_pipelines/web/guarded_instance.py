"""Dagster's instance as one request sees it: whatever it stores was checked, and says who launched it.

GraphQL offers many ways to launch (several mutations, variables, literals, fragments, aliases, parent runs, backfills),
and each new Dagster may bring another. All of them end in two methods of the run storage. So each request gets a view
of the instance whose run storage checks there. The instance itself, which no visitor reaches, stays as it is.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.tags import PARENT_BACKFILL_ID_TAG
from dagster_graphql.implementation.utils import UserFacingGraphQLError
from dagster_graphql.schema.errors import GrapheneUnauthorizedError

from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.web.launches import LaunchRefusedError, approved_tags, check_run_config
from cheerful_pipelines.web.tokens import Visitor

logger = get_logger(__name__)

JobTags = Callable[[DagsterRun], Mapping[str, str]]
"""Tags of the definition of a run's job."""


class GuardedRunStorage:
    """Mixed in before the instance's own class of run storage: checks what a visitor's request stores."""

    cheerful_visitor: Visitor | None
    cheerful_job_tags: JobTags

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store the run with approved tags. Raises UserFacingGraphQLError, which GraphQL shows as words."""
        return cast(DagsterRun, self._storage().add_run(self._approved_run(dagster_run)))

    def add_historical_run(self, dagster_run: DagsterRun, *args: Any, **kwargs: Any) -> DagsterRun:
        """The same for a run with a creation time."""
        stored = self._storage().add_historical_run(self._approved_run(dagster_run), *args, **kwargs)
        return cast(DagsterRun, stored)

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store a backfill with approved tags, which its runs inherit."""
        parent_id = partition_backfill.tags.get(PARENT_BACKFILL_ID_TAG)
        parent = self._storage().get_backfill(parent_id) if parent_id else None
        self._storage().add_backfill(self._approved_backfill(partition_backfill, parent))

    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Store a change; whoever resumes a backfill launches its further runs."""
        if partition_backfill.status is BulkActionStatus.REQUESTED:
            before = self._storage().get_backfill(partition_backfill.backfill_id)
            partition_backfill = self._approved_backfill(partition_backfill, before)
        self._storage().update_backfill(partition_backfill)

    def add_run_tags(self, run_id: str, new_tags: Mapping[str, str]) -> None:
        """No mutation of Dagster's needs this for a run that exists: only engineers may."""
        visitor = self._visitor()
        if visitor.role != "engineer":
            raise _refusal(visitor, LaunchRefusedError("Only engineers may change the tags of a run."))
        self._storage().add_run_tags(run_id, {key: new_tags[key] for key in new_tags if key != "cheerful/launched_by"})

    def _storage(self) -> Any:
        return super()

    def _visitor(self) -> Visitor:
        visitor = self.cheerful_visitor
        if visitor is None or visitor.role == "viewer":
            raise _refusal(visitor, LaunchRefusedError("The role viewer may not launch anything."))
        return visitor

    def _approved_run(self, run: DagsterRun) -> DagsterRun:
        visitor = self._visitor()
        parent = self._parent_of(run)
        inherited = parent.tags if parent else {}
        try:
            check_run_config(visitor.role, run.run_config, inherited=parent.run_config if parent else {})
            tags = approved_tags(
                visitor.role, visitor.user_id, run.tags, own=self.cheerful_job_tags(run), inherited=inherited
            )
        except LaunchRefusedError as error:
            raise _refusal(visitor, error) from None
        return run.with_tags(tags)

    def _parent_of(self, run: DagsterRun) -> DagsterRun | None:
        """The run that is executed again. One of another job has nothing to pass on."""
        if not run.parent_run_id:
            return None
        found = self._storage().get_run_records(dg.RunsFilter(run_ids=[run.parent_run_id]), limit=1)
        parent = cast(DagsterRun, found[0].dagster_run) if found else None
        is_same = parent is not None and (parent.job_name, parent.remote_job_origin) == (
            run.job_name, run.remote_job_origin,
        )  # fmt: skip
        return parent if is_same else None

    def _approved_backfill(self, backfill: PartitionBackfill, before: PartitionBackfill | None) -> PartitionBackfill:
        visitor = self._visitor()
        if before is not None and before.partition_set_origin != backfill.partition_set_origin:
            before = None
        try:
            check_run_config(
                visitor.role, backfill.run_config or {}, inherited=(before.run_config or {}) if before else {}
            )
            tags = approved_tags(
                visitor.role, visitor.user_id, backfill.tags, own={}, inherited=before.tags if before else {}
            )
        except LaunchRefusedError as error:
            raise _refusal(visitor, error) from None
        return backfill._replace(tags=tags)


def guarded(instance: dg.DagsterInstance, visitor: Visitor | None, job_tags: JobTags) -> dg.DagsterInstance:
    """A view of the instance for one request of this visitor. It shares every connection with the instance."""
    view = copy.copy(instance)
    for name in [name for name in vars(view) if isinstance(getattr(type(view), name, None), cached_property)]:
        del vars(view)[name]  # what is kept there belongs to the unguarded instance
    kind = _guarded_class(type(instance.run_storage))
    storage: Any = object.__new__(kind)
    vars(storage).update(vars(instance.run_storage), cheerful_visitor=visitor, cheerful_job_tags=job_tags)
    view._run_storage = storage
    return view


_guarded_classes: dict[type[RunStorage[Any]], type[Any]] = {}


def _guarded_class(kind: type[RunStorage[Any]]) -> type[Any]:
    if kind not in _guarded_classes:
        _guarded_classes[kind] = type(f"Guarded{kind.__name__}", (GuardedRunStorage, kind), {})
    return _guarded_classes[kind]


def _refusal(visitor: Visitor | None, error: LaunchRefusedError) -> UserFacingGraphQLError:
    logger.warning(
        "launch_refused", user_id=visitor.user_id if visitor else None, role=visitor.role if visitor else "nobody"
    )
    return UserFacingGraphQLError(GrapheneUnauthorizedError(str(error)))  # type: ignore[no-untyped-call]
