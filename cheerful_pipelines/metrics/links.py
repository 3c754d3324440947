"""Where a person who reads a number can look further: Dagster's page of a campaign, the client's sheet."""

from urllib.parse import quote

from cheerful_pipelines.core.settings import Settings


def metrics_page(settings: Settings, slug: str) -> str:
    """The page in Dagster's UI that shows the campaign's numbers."""
    return f"{settings.web_url.rstrip('/')}/assets/campaign_metrics?view=partitions&partition={quote(slug)}"


def sheet_url(spreadsheet_id: str) -> str:
    """The sheet in a browser."""
    return f"https://docs.google.com/spreadsheets/d/{quote(spreadsheet_id)}"
