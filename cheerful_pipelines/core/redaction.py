"""Words from outside (headers of a sheet, Google's messages) on their way into metadata, logs or errors. Pure."""

import re


def without_addresses(text: str) -> str:
    """The text with everything that holds an @ between letters taken out.

    >>> without_addresses("Write to Ana <ana@creator.example>, please")
    'Write to Ana (an address) please'
    """
    return re.sub(r"(?<!\S)\S+@\S+", "(an address)", text)
