"""Outreach campaigns as Dagster assets, in the order the data goes.

campaigns       WHO IT IS FOR            clients, campaigns, sender accounts: what everything else is keyed by
recipients      WHO WE WROTE TO          a Google Sheet becomes stored recipients
mail            WHAT WAS SAID            Gmail's history becomes stored mail, each of it read for itself
threads         WHO ANSWERED WHOM        mail becomes conversations with a replayable history
classification  WHAT IT MEANT            a conversation becomes a verdict
metrics         HOW THE CAMPAIGN WENT    verdicts become numbers, plots and the client's sheet
refresh         WHAT IS BEHIND           the chain from stored mail to numbers, for one campaign or many
operations      HOW EVERYTHING IS        backfills, health, alerts, retention: running all of the above
people          WHO ASKED                a person's data given out, or erased for good

Each folder knows only those above it in this list, and core, storage (tables and blobs), orchestration (partitions,
retries), runtime (worker, daemon, launchers) and google (quota, Sheets, errors), which lie below all of them. web is
the login in front of Dagster's UI, cli the command-line tool; local_google is a Gmail, Sheets and Drive on this
machine, demo a month of invented campaigns, and the product knows neither.
"""

from cheerful_pipelines.core.known_warnings import ignore_known_warnings

__version__ = "0.1.0"
"""The same as in pyproject.toml; read where the package runs without being installed, as `dev.sh` runs it."""

ignore_known_warnings()
"""Here and not later: definitions warn while they are imported, and every process passes this file first."""
