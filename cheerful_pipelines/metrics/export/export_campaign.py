"""One campaign's numbers into its client's sheet: the order of the work, for the asset and for an erasure."""

from typing import NamedTuple

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.overrides.take_overrides import TakenOverrides, take_overrides
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.lease_store import only_writer
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.export.export_tabs import ExportResult, export_tabs
from cheerful_pipelines.metrics.export.sheet_tabs import desired_tabs, problem_lines
from cheerful_pipelines.metrics.export.thread_lines import thread_lines
from cheerful_pipelines.metrics.links import metrics_page
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.recipients.own_writes import own_write
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database


class Exported(NamedTuple):
    """What was written, and what the client had typed."""

    result: ExportResult
    overrides: TakenOverrides


def export_campaign(
    database: Database, sheets: SheetsClient, settings: Settings, campaign: Campaign, *, holder: str
) -> Exported:
    """Read the sheet, write what differs, remember when. `database`: unscoped; `holder`: who writes.

    Raises ConfigurationError if the campaign has no metrics sheet, TransientError where somebody else is writing, and
    what export_tabs raises.
    """
    if campaign.metrics_spreadsheet_id is None:
        raise ConfigurationError(
            f"Campaign {campaign.slug!r} has no metrics sheet.",
            what_to_do="Name one: cheerful campaigns add ... --metrics-sheet.",
        )
    everyone, ours = database.for_every_client(), database.for_client(campaign.user_id)
    store = MetricStore(ours)
    overrides = take_overrides(sheets, VerdictStore(ours), campaign)  # before anything is shown anew
    # The mark is read before the numbers: were they computed anew in between, the next export would follow.
    computed_at = CampaignStore(ours).campaign_mark(campaign.id).metrics_computed_at
    metrics = store.rows(slug=campaign.slug)
    lines = thread_lines(FactStore(ours).facts(campaign.slug))
    problems = problem_lines(RecipientStore(ours).problems(campaign.id), overrides.problems)
    desired = desired_tabs(campaign, metrics, lines, problems, page_url=metrics_page(settings, campaign.slug))
    with (
        only_writer(everyone, campaign.metrics_spreadsheet_id, holder=holder),
        own_write(ours, sheets, campaign.metrics_spreadsheet_id) as write,
    ):
        result = export_tabs(sheets, settings, campaign, desired)
        write.has_changed_something = result.write_requests > 0
    if computed_at is not None:
        store.mark_exported(campaign.id, exported_at=computed_at, content_hash=result.content_hash)
    return Exported(result, overrides)
