"""Text from outside (cells, headers, mail, file names, Google's messages) on its way to a terminal, log or page. Pure.

Control characters steer a terminal, a line break forges a log line, and bidirectional marks show a text in another
order than it is stored in (CVE-2021-42574). None of them is needed to read a value, so each becomes U+FFFD.
"""

import unicodedata

REPLACEMENT = "\ufffd"
_KEPT_FORMAT = frozenset("\u200c\u200d\u00ad")  # joiners (emoji, Persian, Hindi) and the soft hyphen
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text with line feeds and tabs, and without any other character that is not there to be seen.

    >>> printable("red\\x1b[31m\\ntwo")
    'red\ufffd[31m\\ntwo'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in "\n\t" or _is_visible(one) else REPLACEMENT for one in text)


def one_line(value: object) -> str:
    """The value as text on one line: line breaks and tabs become blanks, other control characters U+FFFD.

    >>> one_line("a\\r\\nb")
    'a b'
    """
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return printable(" ".join(text.replace("\t", " ").splitlines()))


def _is_visible(one: str) -> bool:
    return one in _KEPT_FORMAT or unicodedata.category(one) not in _UNSAFE
