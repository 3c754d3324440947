"""HTML of ours: the sign-in form, and the corner of Dagster's pages that says who is signed in."""

import html
from urllib.parse import quote

from cheerful_pipelines.web.tokens import Visitor

_FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Cheerful: sign in</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f4f4f6; color: #1b1b2f; margin: 0;
       display: grid; place-items: center; min-height: 100vh }}
form {{ background: #fff; padding: 2rem; border-radius: 12px; box-shadow: 0 2px 16px #0002; width: 20rem }}
label {{ display: block; margin-top: 1rem }}
input {{ width: 100%; box-sizing: border-box; padding: .5rem; font: inherit }}
button {{ margin-top: 1.5rem; width: 100%; padding: .6rem; font: inherit; border: 0; border-radius: 6px;
          background: #4f43dd; color: #fff; cursor: pointer }} p {{ color: #a3123d }}
</style></head><body><form method="post" action="/sign-in?next={next}">
<h1>Cheerful</h1>{words}
<label>Address<input name="address" type="email" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form></body></html>"""

_ACCOUNT = """<form method="post" action="/sign-out" id="cheerful-account" style="position: fixed; left: 14px;
bottom: 178px; z-index: 15; width: 196px; box-sizing: border-box; display: flex; gap: 8px; align-items: center;
padding: 3px 4px 3px 10px; border-radius: 14px; font: 12px/1.4 system-ui, sans-serif; background: #1b1b2f; color: #fff;
opacity: .92"><span title="{who}" style="flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap">{who}
</span><button style="font: inherit; color: #1b1b2f; background: #fff; border: 0; border-radius: 11px;
padding: 3px 9px; cursor: pointer; white-space: nowrap">Sign out</button></form>"""
"""In the empty part of the navigation on the left: the corners and the top carry buttons of Dagster's own."""


def sign_in_form(target: str, words: str) -> str:
    """The form; `words` say what went wrong, `target` is the path to go to afterwards."""
    told = f"<p role='alert'>{html.escape(words)}</p>" if words else ""
    return _FORM.format(next=quote(target), words=told)


def with_account(page: str, visitor: Visitor) -> str:
    """A page of Dagster's UI with the signed-in user's name, their role and a button to sign out.

    >>> from datetime import UTC, datetime
    >>> mia = Visitor(user_id="u1", role="viewer", until=datetime.now(UTC), name="Mia <b>")
    >>> "viewer: Mia &lt;b&gt;" in with_account("<body></body>", mia)
    True
    """
    who = f"{visitor.role}: {visitor.name}" if visitor.name else visitor.role
    head, end, tail = page.rpartition("</body>")
    return f"{head}{_ACCOUNT.format(who=html.escape(who))}{end}{tail}"
