"""Which text of an HTML mail a reader can see: what mark-up hides is not the writer's word. Pure.

Only what a tag itself says is judged (display, visibility, size, the attribute `hidden`); style sheets are not read.
"""

import re

VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|opacity\s*+:\s*+0*+(?:\.0++)?\s*+(?:;|$|!)"
    r"|(?<!-)max-height\s*+:\s*+0(?:px|em)?\s*+(?:;|$|!)",
    re.I,
)
_SIZE = re.compile(r"font-size\s*:\s*([\d.]+)", re.I)
_DEEPEST = 200
"""Elements nested deeper are as visible as what holds them: bounds the work on hostile mail."""


class Visibility:
    """Follows the open elements. Stray and missing end tags are tolerated."""

    def __init__(self) -> None:
        self._open: list[tuple[str, bool, bool]] = []  # tag, hidden for good, without size

    @property
    def is_hidden(self) -> bool:
        """Whether text that comes now is seen by nobody."""
        return bool(self._open) and (self._open[-1][1] or self._open[-1][2])

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins. Names of attributes are lower case."""
        if tag in VOID or len(self._open) >= _DEEPEST:
            return
        hidden, sizeless = self._open[-1][1:] if self._open else (False, False)
        style = attributes.get("style", "")
        if style:
            hidden = hidden or _HIDING.search(style) is not None
            size = _SIZE.search(style)
            if size is not None:
                sizeless = _is_zero(size[1])  # a size of its own makes text in a sizeless table visible again
        self._open.append((tag, hidden or "hidden" in attributes, sizeless))

    def end(self, tag: str) -> None:
        """An element ends, and with it whatever was left open inside."""
        for position in range(len(self._open) - 1, -1, -1):
            if self._open[position][0] == tag:
                del self._open[position:]
                return


def _is_zero(number: str) -> bool:
    try:
        return float(number) < 1
    except ValueError:
        return False
