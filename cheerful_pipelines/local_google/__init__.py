"""A Gmail, Sheets and Drive on this machine, over real HTTP, for the demo and the tests.

    python -m cheerful_pipelines.local_google --port 4510 --state FILE

The same Google clients talk to it as to Google; only the endpoint and the credentials differ. Read it from the
outside in: `server` (socket), `app` (one call: token, fault, handler, count), `gmail_api` / `sheets_api` /
`drive_api` / `token_api` (the wire), `mailboxes` / `spreadsheets` (what they stand on), `state` (the one file).
Tests and the command-line tool steer it with `admin.LocalGoogleAdmin`. Nothing outside this folder but that
client is imported by the pipeline, and nothing here imports dagster, a Google library or the pipeline's tables.
"""
