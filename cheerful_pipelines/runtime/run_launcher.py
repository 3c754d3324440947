"""How Dagster's daemon starts runs (`run_launcher` in dagster.yaml): a worker that stops or is slow is waited for.

Told to stop, a code server lets its runs end and refuses new ones (worker.py: for minutes). Dagster's
own launcher takes the refusal for a failure of the run: with each deploy runs failed, were repeated at once, failed
again, and somebody was alerted. Here the run goes back to the queue, like one whose code server does not answer.

A start that takes longer than the gRPC time-out may be under way all the same: the code server is asked before the run
goes back to the queue. On a busy machine runs were started twice, and then failed by the second process.
"""

import time
from typing import Any

from dagster import DagsterEventType, DagsterRunStatus, DefaultRunLauncher
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher.base import LaunchRunContext
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

ASK_SECONDS = 60.0
"""So long a code server that did not answer in time is asked whether it started the run."""
_ASK_EVERY_SECONDS = 2.0

_PASSING = (
    "after telling it to shut down",
    "Error during RPC setup for executing run",
    "terminated unexpectedly with exit code -",
)
"""Within the sentences by which Dagster's code server says that a start failed for a reason that passes: it is
stopping; the database is away or full; the process was killed. test_run_launcher holds that it still says so."""


_NOT_YET = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING)


class PatientRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher; `max_user_code_failure_retries` in dagster.yaml says how long runs wait."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises DagsterUserCodeUnreachableError where the run is to wait in the queue; else as Dagster's."""
        try:
            super().launch_run(context)
        except DagsterUserCodeUnreachableError as error:
            if not self._was_started(context.dagster_run.run_id, patiently=_timed_out(error)):
                raise
        except DagsterLaunchFailedError as error:
            if any(words in str(error) for words in _PASSING):
                raise back_to_the_queue("The worker could not start the run just now") from error
            raise

    def _was_started(self, run_id: str, *, patiently: bool) -> bool:
        """Whether a process has the run, by Dagster's record of it or by the code server's word.

        A server that does not answer is asked again for ASK_SECONDS where `patiently`; one that refuses connections
        has started nothing that lives.
        """
        deadline = time.monotonic() + ASK_SECONDS
        while True:
            if self._is_known_to_run(run_id):
                return True
            current = self.runs_of_server(run_id)
            if current is not None:
                return run_id in current
            if not patiently or time.monotonic() > deadline:
                return False
            time.sleep(_ASK_EVERY_SECONDS)

    def _is_known_to_run(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.status not in _NOT_YET:
            return True  # started or over: nothing to put back
        events = self._instance.all_logs(run_id, of_type={DagsterEventType.ENGINE_EVENT, DagsterEventType.RUN_ENQUEUED})
        queued = max((entry.timestamp for entry in events if _is(entry, DagsterEventType.RUN_ENQUEUED)), default=0.0)
        return any(
            entry.timestamp > queued and "pid" in entry.dagster_event.engine_event_data.metadata
            for entry in events
            if _is(entry, DagsterEventType.ENGINE_EVENT) and entry.dagster_event is not None
        )

    def runs_of_server(self, run_id: str) -> list[str] | None:
        """Ids of the runs whose processes the code server has; None where it does not answer.

        Empty where no server was asked for this run yet: its address is noted just before.
        """
        client: Any = self._get_grpc_client_for_termination(run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return []
        try:
            answer: GetCurrentRunsResult = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
        except DagsterUserCodeUnreachableError:
            return None
        return list(answer.current_runs)


def back_to_the_queue(why: str) -> DagsterUserCodeUnreachableError:
    """What a launcher raises so that Dagster's queue keeps the run and tries again."""
    return DagsterUserCodeUnreachableError(f"{why}: it waits in the queue.")


def _is(entry: object, kind: DagsterEventType) -> bool:
    event = getattr(entry, "dagster_event", None)
    return event is not None and event.event_type == kind


def _timed_out(error: DagsterUserCodeUnreachableError) -> bool:
    code = getattr(error.__cause__, "code", None)  # gRPC's own error, which has no types
    return callable(code) and code().name == "DEADLINE_EXCEEDED"
