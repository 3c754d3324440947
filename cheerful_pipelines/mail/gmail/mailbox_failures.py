"""What the failure of one mailbox means: its row in `work_failure`, and the account's state."""

import time
from datetime import UTC, datetime, timedelta

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import AuthError, ThrottledError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.mail.gmail.gmail_client import GmailClient
from cheerful_pipelines.orchestration.failures import failure_class_of, told
from cheerful_pipelines.orchestration.retries import WorkFailure
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore

logger = get_logger(__name__)


def record_failure(
    store: WorkFailureStore, unit: str, error: BaseException, *, now: datetime, run_id: str | None,
    watermark: str | None, lasting_again_after: timedelta | None = None,
) -> WorkFailure:  # fmt: skip
    """Write the failure of one mailbox down; its next try goes by the table, or by the time that Google named.

    `lasting_again_after`: instead of the table's day, where the next try is one cheap call.
    """
    summary, what_to_do = told(error)
    kind, wait = failure_class_of(error), None
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        wait = timedelta(seconds=error.retry_after_seconds)
    elif kind in ("permanent", "unknown"):
        wait = lasting_again_after
    return store.record(
        unit, kind, at=now, error=type(error).__name__, summary=summary,
        what_to_do=what_to_do, run_id=run_id, watermark=watermark, not_before=None if wait is None else now + wait,
    )  # fmt: skip


def settle_account(campaigns: CampaignStore, account: GmailAccount, error: BaseException, *, now: datetime) -> bool:
    """Write down what an error means for the account's state. True if that tells all there is to say.

    Only a refused authorisation leads to needs_reauth. A wrong request of ours, a setting or a wrong clock does not:
    reconnecting would not help.
    """
    if isinstance(error, AuthError):
        # Not one that a person paused while the run was under way: it would come back by itself.
        if campaigns.set_account_status(account.id, status="needs_reauth", reason=str(error), only_from="active"):
            logger.warning("account_needs_reauth", account=account.alias)
        return True
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        until = now + timedelta(seconds=error.retry_after_seconds)
        campaigns.set_account_not_before(account.id, not_before=until)
        return True
    return False


def prove_reading(client: GmailClient, *, seconds: float) -> None:
    """One search, within so many seconds: it needs the permission to read mail, the profile and the history less.

    Raises AuthError if the account still must be reconnected.
    """
    client.ending_at(time.monotonic() + seconds).list_page(after=datetime.now(UTC))


def account_works(campaigns: CampaignStore, account: GmailAccount) -> None:
    """An account that had to be reconnected has been synced. One that was paused meanwhile stays so."""
    if campaigns.restore_account(account.id):
        logger.info("account_is_back", account=account.alias)
