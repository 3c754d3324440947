"""Our own writes into a spreadsheet that recipients are read from must not look like a client's edit.

Drive's version of a file grows with every write, whoever writes. So the sensor is told to wait, and afterwards the
recipients' cells are compared with what was imported: where they are the same, the new version counts as imported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.recipients.import_plan import is_as_read
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


class OwnWrite:
    """What the write says about itself when it is done."""

    def __init__(self) -> None:
        self.has_changed_something = True


@contextmanager
def own_write(database: Database, sheets: SheetsClient, spreadsheet_id: str) -> Iterator[OwnWrite]:
    """Around a write into `spreadsheet_id`. Set `has_changed_something` to False where nothing was written.

    Costs nothing for a spreadsheet that no campaign reads. Should the write or the comparison fail, the sheet is
    imported once more: superfluous, never wrong.
    """
    campaigns, recipients = CampaignStore(database), RecipientStore(database)
    readers = recipients.announce_own_write(spreadsheet_id)
    write = OwnWrite()
    confirmed: list[tuple[UUID, str, str]] = []
    try:
        yield write
        if write.has_changed_something:
            for slug in readers:
                confirmed += _as_imported(recipients, sheets, campaigns.campaign(slug))
    finally:
        if readers:
            recipients.confirm_own_write(spreadsheet_id, as_imported=confirmed)


def _as_imported(recipients: RecipientStore, sheets: SheetsClient, campaign: Campaign) -> list[tuple[UUID, str, str]]:
    newest = recipients.newest_import(campaign.id)
    if newest is None:
        return []
    try:
        version = is_as_read(sheets, campaign, newest.values_hash)
    except CheerfulError as error:  # the sensor will find the new version, and an import says what is wrong
        logger.warning("own_write_not_confirmed", campaign=campaign.slug, error=type(error).__name__)
        return []
    return [] if version is None else [(campaign.id, newest.drive_version, version)]
