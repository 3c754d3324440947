"""What people do in Dagster's UI, done by a headless Chromium: analysts look and rematerialize, engineers backfill.

Each function is one thing that somebody does; it fails where the screen does not show what they came for.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000.0  # two busy cores


def browser() -> str | None:
    """The Chromium of this machine, if it has one."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def page_of(executable: str) -> Iterator[Page]:
    """A page of a fresh browser."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        chromium.close()


def follow_a_number_to_where_it_comes_from(page: Page, url: str) -> None:
    """From the catalog over the asset to what it is made of, by clicking only."""
    page.goto(f"{url}/assets")
    page.get_by_text("campaign_metrics", exact=True).first.click()
    page.wait_for_url(re.compile("/assets/campaign_metrics"))
    page.locator("a[href*='view=lineage']").first.click()
    page.wait_for_url(re.compile("view=lineage"))
    expect(page.get_by_text("thread_classifications").first).to_be_visible()
    expect(page.get_by_text("sheet_recipients").first).to_be_visible()


def look_at_the_funnel(page: Page, url: str, slug: str) -> None:
    """A campaign's partition, its numbers, and its picture."""
    page.goto(f"{url}/assets/campaign_report?view=partitions&partition={slug}")
    expect(page.get_by_text("reply_rate", exact=True)).to_be_visible()
    page.get_by_text("[Show Markdown]").first.click()
    picture = page.locator("img[alt='Funnel of the campaign']")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.naturalWidth") > 500
    page.get_by_role("button", name="Close").click()


def rematerialize(page: Page, url: str, asset: str, partition: str) -> None:
    """The button that analysts press."""
    page.goto(f"{url}/assets/{asset}?view=partitions&partition={partition}")
    expect(page.get_by_text(partition, exact=True).first).to_be_visible()
    page.get_by_role("button", name=re.compile("Materialize")).first.click()
    page.get_by_role("button", name=re.compile("Launch 1 run")).click()
    expect(page.get_by_text(re.compile("Launched run|launched", re.I)).first).to_be_visible()


def launch_a_backfill(page: Page, url: str, slug: str, since: str) -> None:
    """The launchpad: a typed config, and the run that says what it would take."""
    page.goto(f"{url}/locations/cheerful/jobs/campaign_backfill/playground")
    editor = page.locator(".CodeMirror").first
    editor.wait_for()
    expect(page.get_by_text(re.compile('Missing required config entry "campaign"'))).to_be_visible()
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    config = f"ops: {{ask_for_backfill: {{config: {{campaign: {slug}, since: '{since}'}}}}}}"
    page.evaluate("text => document.querySelector('.CodeMirror').CodeMirror.setValue(text)", config)
    launch = page.get_by_role("button", name="Launch Run")
    expect(launch).to_be_enabled()
    launch.click()
    page.wait_for_url(re.compile("/runs/"))
    expect(page.get_by_text(re.compile("quota units, about")).first).to_be_visible()


def find_the_failure(page: Page, url: str, run_id: str, words: str) -> None:
    """From the list of runs to the words that say what is wrong."""
    page.goto(f"{url}/runs")
    page.get_by_text(run_id[:8]).first.click()
    expect(page.get_by_text(re.compile(words)).first).to_be_visible()


def seconds_to_show(page: Page, address: str, shown: Callable[[Page], None]) -> float:
    """How long a page takes until it shows what it is opened for."""
    began = float(page.evaluate("Date.now()"))
    page.goto(address)
    shown(page)
    return (float(page.evaluate("Date.now()")) - began) / 1000
