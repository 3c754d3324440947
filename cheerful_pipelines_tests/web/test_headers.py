"""What browsers are told: no frames, no pictures or connections elsewhere, who is signed in, a button to sign out."""

import pytest
import requests

from cheerful_pipelines.web.__main__ import gated_app
from cheerful_pipelines.web.headers import ui_policy
from cheerful_pipelines_tests.test_system import free_port
from cheerful_pipelines_tests.web.installation import PASSWORD, Installation, served


def policy_of(answer: requests.Response) -> dict[str, str]:
    """Directive to value."""
    parts = [part.strip().partition(" ") for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: value for name, _, value in parts if name}


def test_dagsters_pages_keep_other_sites_out(web: Installation) -> None:
    page = requests.get(f"{web.url}/runs", cookies=web.cookie_of("viewer"), timeout=30)
    policy = policy_of(page)
    assert policy["frame-ancestors"] == "'none'"
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["connect-src"].startswith("'self' ws://127.0.0.1")
    assert policy["form-action"] == "'self'"
    nonce = policy["script-src"].partition("'nonce-")[2].partition("'")[0]
    assert len(nonce) == 32
    assert f'nonce="{nonce}"' in page.text
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_who_is_signed_in_is_on_the_page_with_a_button_to_sign_out(web: Installation) -> None:
    page = requests.get(f"{web.url}/runs", cookies=web.cookie_of("analyst"), timeout=30)
    assert "analyst: analyst@brand.example" in page.text
    assert 'action="/sign-out"' in page.text
    assert int(page.headers["Content-Length"]) == len(page.content)
    program = requests.get(f"{web.url}/", headers={"Authorization": f"Bearer {web.auth.token('viewer')}"}, timeout=30)
    assert 'title="viewer"' in program.text


@pytest.mark.parametrize("path", ["/graphql", "/server_info", "/favicon.svg", "/sign-in", "/health", "/sign-out", "/x"])
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_every_answer_may_not_be_framed_or_guessed(path: str, accept: str, web: Installation) -> None:
    for headers in ({}, {"Authorization": f"Bearer {web.auth.token('viewer')}"}):
        answer = requests.get(web.url + path, headers={**headers, "Accept": accept}, timeout=30, allow_redirects=False)
        assert policy_of(answer)["frame-ancestors"] == "'none'"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Strict-Transport-Security" not in answer.headers  # plain http here


def test_a_policy_of_dagsters_cannot_open_what_ours_closes() -> None:
    policy = ui_policy("base-uri 'none'; img-src *; frame-ancestors *;", "")
    assert policy.count("img-src") == policy.count("frame-ancestors") == 1
    assert "*" not in policy


def test_with_https_browsers_are_told_to_stay_there_and_cookies_are_secure(web: Installation) -> None:
    settings = web.settings.model_copy(update={"web_url": "https://cheerful.example"})
    port = free_port()
    with served(gated_app(settings, web.instance, web.context), port):
        url = f"http://127.0.0.1:{port}"
        form = {"address": "viewer@brand.example", "password": PASSWORD}
        answer = requests.post(f"{url}/sign-in", data=form, headers={"Origin": url}, timeout=30, allow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["Set-Cookie"].count("Secure") == 2
        for path in ("/sign-in", "/", "/health"):
            assert requests.get(url + path, timeout=30).headers["Strict-Transport-Security"].startswith("max-age=3")
