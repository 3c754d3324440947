"""Takes what clients typed into their Threads tab into the database. No dagster, no SQL."""

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.classification.overrides.overrides_in_sheet import AUTHOR, read_words, wishes
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.google.sheets.keyed_tab import KEY_HEADER
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.google.sheets.write_tabs import read_tabs

THREADS_TAB = "Threads"


class TakenOverrides(BaseModel):
    """What a look at the tab changed. `problems` name rows and what may stand there."""

    model_config = ConfigDict(frozen=True)
    set: int = 0
    taken_back: int = 0
    problems: tuple[str, ...] = ()


def take_overrides(sheets: SheetsClient, store: VerdictStore, campaign: Campaign) -> TakenOverrides:
    """Read the tab, apply what is new. A second look changes nothing. Two calls, none without a metrics sheet."""
    if campaign.metrics_spreadsheet_id is None:
        return TakenOverrides()
    titles = {tab.title.casefold(): tab.title for tab in sheets.tabs(campaign.metrics_spreadsheet_id)}
    title = titles.get(THREADS_TAB.casefold())
    if title is None:
        return TakenOverrides()
    grid = read_tabs(sheets, campaign.metrics_spreadsheet_id, [title])[title]
    words, problems = read_words(grid, KEY_HEADER)
    known = store.overrides(campaign.id)
    is_set = taken_back = 0
    troubles = [problem.words for problem in problems]
    for wish in wishes(words, known):
        try:
            account_id = store.thread_of(wish.account, wish.gmail_thread_id)
        except NotFoundError:
            troubles.append(f"The thread {wish.account}/{wish.gmail_thread_id} is not known.")
            continue
        if wish.label is None:
            taken_back += store.revoke_override(account_id, wish.gmail_thread_id)
        else:
            store.set_override(
                account_id, wish.gmail_thread_id, wish.label, author=AUTHOR, reason=wish.reason, source="sheet"
            )
            is_set += 1
    return TakenOverrides(set=is_set, taken_back=taken_back, problems=tuple(troubles))
