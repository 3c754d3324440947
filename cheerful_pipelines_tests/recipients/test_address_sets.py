"""Published sets of addresses against our verdicts and keys. Every difference is listed, with its reason.

The source's convention stands beside ours where they differ: the project's decision is not bent to the set.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.recipients.addresses_in_cells import SyntaxProblem, check_syntax, read_address_cell

pytestmark = pytest.mark.real_mail

VERDICTS_THAT_DIFFER = {
    "isemail-5": "test@io: a domain without a period is a slip of the hand in a sheet, not a mailbox of .io itself",
    "isemail-23": "test@iana.123: no top-level domain is a number",
    "isemail-24": "test@255.255.255.255: a bare IP address is no domain",
    "isemail-75": "an IP address in brackets reaches no creator",
    "isemail-81": "an IP address in brackets reaches no creator",
    "python-email-validator-test_email_invalid_character_smtputf8_off-2": "the source forbids letters beyond ASCII in "
    "this one test; we take internationalised addresses",
}
KEYS_THAT_DIFFER = {
    **dict.fromkeys(
        ("validator.js-15", "validator.js-16", "validator.js-20"),
        "Yandex's domains are one mailbox to that library; we merge people for Gmail's two domains only",
    ),
    **dict.fromkeys(
        [
            *(f"email-normalize-{name}" for name in ("Apple", "Fastmail", "Google", "Microsoft", "ProtonMail")),
            *(f"email-normalize-{name}" for name in ("Rackspace", "Yahoo", "Yandex", "Zoho", "Fastmail-host")),
        ],
        "the rule needs the domain's MX host; we look up no DNS, and two people must never become one",
    ),
}


def _cases(shared_data: Path, name: str) -> list[dict[str, Any]]:
    lines = (shared_data / "addresses" / f"{name}.jsonl").read_text().split("\n")  # some addresses hold U+2028
    return [json.loads(line) for line in lines if line]


def _normal_form(address: str, *, is_valid: bool) -> str | None:
    """None: refused. `Name <address>` is for the reader of cells; it must not save what the source calls wrong."""
    if is_valid and "<" in address:
        found = read_address_cell(address).addresses
        return check_syntax(found[0]) if found else None
    try:
        return check_syntax(address)
    except SyntaxProblem:
        return None


def test_verdicts_are_those_of_the_sources_but_for_the_listed_ones(shared_data: Path) -> None:
    cases = _cases(shared_data, "isemail") + _cases(shared_data, "python-email-validator")
    expected = {case["id"]: case.get("deliverable_form", case["valid"]) for case in cases}
    found = {case["id"]: _normal_form(case["address"], is_valid=expected[case["id"]]) for case in cases}

    different = {name for name, form in found.items() if (form is not None) is not expected[name]}

    assert len(cases) == 150
    assert different == set(VERDICTS_THAT_DIFFER)
    assert 1 - len(different) / len(cases) >= 0.95


def test_normal_forms_are_those_of_the_source(shared_data: Path) -> None:
    cases = [case for case in _cases(shared_data, "python-email-validator") if case.get("normalized")]

    assert len(cases) > 10
    assert [_normal_form(case["address"], is_valid=True) for case in cases] == [case["normalized"] for case in cases]


def test_keys_are_those_of_the_sources_but_for_other_conventions(shared_data: Path) -> None:
    cases = _cases(shared_data, "normalise-validatorjs") + _cases(shared_data, "provider-rules")
    different = set()
    for case in cases:
        is_address = _normal_form(case["address"], is_valid=False) is not None
        if (address_key(case["address"]) if is_address else None) != case["normalised"]:
            different.add(case["id"])

    assert len(cases) == 22
    assert different == set(KEYS_THAT_DIFFER)
