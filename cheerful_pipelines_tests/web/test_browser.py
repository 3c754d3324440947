"""What a person sees: signing in, who they are, what they may not do, a launch that works, and signing out."""

import warnings
from pathlib import Path

import pytest

from cheerful_pipelines_tests import browser
from cheerful_pipelines_tests.web.installation import PASSWORD, Installation


def chromium() -> str:
    """The Chromium of this machine, or a skip that says so."""
    executable = browser.browser()
    if executable is None:
        warnings.warn("no Chromium on the path: the login was not tried in a browser", stacklevel=1)
        pytest.skip("no Chromium on the path")
    return executable


def test_a_person_signs_in_looks_is_told_what_they_may_not_do_and_signs_out(web: Installation, tmp_path: Path) -> None:
    executable = chromium()
    from playwright.sync_api import expect

    with browser.page_of(executable) as page:
        page.goto(f"{web.url}/assets/small")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.get_by_label("Address").fill("viewer@brand.example")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Address or password are wrong")
        page.screenshot(path=str(tmp_path / "sign-in.png"))
        page.get_by_label("Address").fill("viewer@brand.example")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/assets/small**")
        expect(page.get_by_role("button", name="Materialize").first).to_be_disabled()
        expect(page.get_by_text("viewer: viewer@brand.example")).to_be_visible()
        page.screenshot(path=str(tmp_path / "refused.png"))
        assert page.evaluate("document.cookie") == ""  # no script reads the session
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.goto(f"{web.url}/runs")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_an_analyst_works_in_dagsters_ui_and_no_policy_breaks_it(web: Installation, tmp_path: Path) -> None:
    """Launches and a backfill as the UI itself sends them; the graph, which a worker draws; no policy is violated."""
    executable = chromium()
    from playwright.sync_api import expect

    refused: list[str] = []
    with browser.page_of(executable) as page:
        page.on("console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(f"{web.url}/assets/small")
        page.get_by_label("Address").fill("analyst@brand.example")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/assets/small**")
        before = web.instance.get_runs_count()
        page.get_by_role("button", name="Materialize").first.click()
        expect(page.get_by_text("Launched run").first).to_be_visible()
        page.goto(f"{web.url}/assets/by_season?view=partitions")
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_role("button", name="Launch backfill").click()
        expect(page.get_by_text("Created backfill").first).to_be_visible()
        page.goto(f"{web.url}/locations/tiny.py/jobs/tagged/playground")
        page.get_by_role("button", name="Launch Run").click()
        page.wait_for_url("**/runs/**")
        page.goto(f"{web.url}/locations/tiny.py/asset-groups/default/lineage")
        expect(page.get_by_text("by_season").first).to_be_visible()
        page.screenshot(path=str(tmp_path / "graph.png"))
        page.goto(f"{web.url}/runs")
        expect(page.get_by_text("analyst: analyst@brand.example")).to_be_visible()
        page.screenshot(path=str(tmp_path / "runs.png"))
    launched = web.instance.get_runs(limit=1)[0]
    assert web.instance.get_runs_count() > before
    assert launched.tags["cheerful/launched_by"] == "user-analyst"
    assert web.instance.get_backfills(limit=1)[0].tags["cheerful/launched_by"] == "user-analyst"
    assert refused == []
