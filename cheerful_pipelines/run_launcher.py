"""How Dagster's daemon starts runs (`run_launcher` in dagster.yaml): as always, but a stopping worker is waited for.

Told to stop, a code server lets its runs end and refuses new ones (cheerful_pipelines.worker: for minutes). Dagster's
own launcher takes the refusal for a failure of the run: with each deploy runs failed, were repeated at once, failed
again, and somebody was alerted. Here the run goes back to the queue, like one whose code server does not answer.
"""

from dagster import DefaultRunLauncher
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.launcher.base import LaunchRunContext

_IS_STOPPING = "after telling it to shut down"
"""Within the sentence by which Dagster's code server refuses; test_deployment holds that it still says so."""


class PatientRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher; `max_user_code_failure_retries` in dagster.yaml says how long runs wait."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises DagsterUserCodeUnreachableError where the code server is stopping; else as Dagster's."""
        try:
            super().launch_run(context)
        except DagsterLaunchFailedError as error:
            if _IS_STOPPING in str(error):
                raise DagsterUserCodeUnreachableError(
                    "The worker is stopping: the run waits for the next one."
                ) from error
            raise
