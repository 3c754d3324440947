"""How runs are handed to Celery's workers (`run_launcher` in infra/celery/dagster.yaml): a broker that is away is
waited for. Dagster's own launcher fails the run, and somebody is alerted whenever Redis is restarted.
"""

from typing import Any

from dagster_celery.launcher import CeleryRunLauncher
from kombu.exceptions import OperationalError

from cheerful_pipelines.runtime.run_launcher import back_to_the_queue


class PatientCeleryRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher; `max_user_code_failure_retries` says how long runs wait."""

    def launch_run(self, context: Any) -> None:
        """Raises what puts the run back into the queue where the broker does not answer; else as dagster-celery's."""
        try:
            super().launch_run(context)
        except (OperationalError, OSError, RuntimeError) as error:  # the last is Celery's own
            raise back_to_the_queue("The broker does not answer") from error
