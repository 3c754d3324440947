"""Outreach campaigns as Dagster assets, in the order the data goes.

campaigns       WHO IT IS FOR            clients, campaigns, sender accounts: what everything else is keyed by
recipients      WHO WE WROTE TO          a Google Sheet becomes stored recipients
gmail           WHAT WAS SAID            Gmail's history becomes stored mail
threads         WHO ANSWERED WHOM        mail becomes conversations with a replayable history
classification  WHAT IT MEANT            a conversation becomes a verdict
metrics         HOW THE CAMPAIGN WENT    verdicts become numbers, plots and the client's sheet
operations      HOW EVERYTHING IS        backfills, health, alerts, retention: running all of the above
people          WHO ASKED                a person's data given out, or erased for good

web is the login in front of Dagster's UI, worker and daemon are what a machine runs in production; storage holds the
tables and blobs, local_google is a Gmail, Sheets and Drive on this machine, demo a month of invented campaigns, cli the
command-line tool.
"""

from cheerful_pipelines.core.known_warnings import ignore_known_warnings

__version__ = "0.1.0"
"""The same as in pyproject.toml; read where the package runs without being installed, as `dev.sh` runs it."""

ignore_known_warnings()
"""Here and not later: definitions warn while they are imported, and every process passes this file first."""
