"""The checker that holds our answers against Google's documents has to be strict itself."""

import pytest

from cheerful_pipelines_tests.local_google.schema import response_faults

MESSAGE = {"id": "19", "threadId": "19", "historyId": "12", "internalDate": "1000", "sizeEstimate": 3, "raw": "YQ=="}


def test_a_message_as_google_gives_it_has_no_fault():
    assert response_faults("gmail.v1", "gmail.users.messages.get", MESSAGE) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"historyId": 12}, "is no string"),
        ({"historyId": "-1"}, "is no uint64"),
        ({"internalDate": "soon"}, "is no int64"),
        ({"sizeEstimate": "3"}, "is no integer"),
        ({"raw": "a+b/"}, "is no byte"),
        ({"subject": "hello"}, "no such property"),
        ({"labelIds": []}, "empty list"),
        ({"payload": {"headers": [{"name": 1}]}}, "is no string"),
    ],
)
def test_each_departure_is_named(change, fault):
    faults = response_faults("gmail.v1", "gmail.users.messages.get", MESSAGE | change)

    assert len(faults) == 1
    assert fault in faults[0]


def test_an_unknown_word_of_an_enumeration_is_named():
    answer = {"sheets": [{"properties": {"sheetType": "TABLE"}}]}

    assert "is none of" in response_faults("sheets.v4", "sheets.spreadsheets.get", answer)[0]
