"""One cell: what a write makes of a value, and how a read shows it.

A cell is kept as JSON: null, text, number or boolean as it stands; else {"v": value, "f": formula, "n": number
format}, the last two where there are any. **Formulas are not calculated**: they are kept and given back under
FORMULA, and their value is the text of HYPERLINK where it is one, else the error #ERROR!.
"""

import math
import re
from datetime import datetime, timedelta
from typing import Any

from cheerful_pipelines.local_google.calls import GoogleError

RENDER_OPTIONS = ("FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA")
MOST_CHARACTERS = 50_000
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  (a serial day has no zone)
_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?\Z")
_HYPERLINK = re.compile(r'=HYPERLINK\(\s*"((?:[^"]|"")*)"\s*(?:[,;]\s*"((?:[^"]|"")*)"\s*)?\)\Z', re.I)
_DATE_FORMATS = (
    ("%Y-%m-%d", "yyyy-mm-dd"), ("%m/%d/%Y", "m/d/yyyy"), ("%Y/%m/%d", "yyyy/mm/dd"),
    ("%Y-%m-%d %H:%M:%S", "yyyy-mm-dd hh:mm:ss"), ("%Y-%m-%d %H:%M", "yyyy-mm-dd hh:mm"),
    ("%m/%d/%Y %H:%M:%S", "m/d/yyyy h:mm:ss"),
)  # fmt: skip
_DATE_WORDS = re.compile(r":mm|:m|yyyy|yy|mm|m|dd|d|hh|h|ss|s")

Cell = Any


def value_of(cell: Cell) -> Any:
    """The effective value."""
    return cell.get("v") if isinstance(cell, dict) else cell


def formula_of(cell: Cell) -> str | None:
    """The formula, where the cell has one."""
    return cell.get("f") if isinstance(cell, dict) else None


def format_of(cell: Cell) -> str:
    """The number format's pattern, "" for the automatic one."""
    return str(cell.get("n") or "") if isinstance(cell, dict) else ""


def make_cell(value: Any, *, formula: str | None = None, pattern: str = "") -> Cell:
    """The shortest way to keep a cell."""
    if formula is None and not pattern:
        return None if value == "" else value
    found = {"v": value}
    if formula is not None:
        found["f"] = formula
    if pattern:
        found["n"] = pattern
    return found


def is_empty(cell: Cell) -> bool:
    """Nothing to show and nothing to compute."""
    return value_of(cell) in (None, "") and formula_of(cell) is None


def cleared(cell: Cell) -> Cell:
    """The cell without its value; its format stays."""
    return make_cell(None, pattern=format_of(cell))


def written(value: Any, old: Cell, *, user_entered: bool) -> Cell:
    """The cell after `value` was written over `old`. null is for the caller: it leaves a cell alone."""
    if not isinstance(value, str | int | float | bool):
        kind = "list_value" if isinstance(value, list) else "struct_value"
        raise GoogleError(400, f"Invalid values: {kind} is not a cell's value")
    if isinstance(value, float) and not math.isfinite(value):
        raise GoogleError(400, "Invalid JSON payload received. Not a number.")
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise GoogleError(
            400, f"Your input contains more than the maximum of {MOST_CHARACTERS} characters in a single cell."
        )
    pattern = format_of(old)
    if not user_entered or not isinstance(value, str):
        return make_cell(value, pattern=pattern)
    return _typed(value, pattern)


def _typed(text: str, pattern: str) -> Cell:
    """What a person typing `text` would get."""
    if text.startswith("'"):
        return make_cell(text[1:], pattern=pattern)
    if text.startswith("=") and len(text) > 1:
        return make_cell(_calculated(text), formula=text, pattern=pattern)
    if text.startswith("+") and len(text) > 1 and _number(text) is None:
        return make_cell(_calculated("=" + text[1:]), formula="=" + text[1:], pattern=pattern)
    stripped = text.strip()
    if stripped.upper() in ("TRUE", "FALSE"):
        return make_cell(stripped.upper() == "TRUE", pattern=pattern)
    if stripped.endswith("%") and (share := _number(stripped[:-1])) is not None:
        return make_cell(share / 100, pattern=pattern or ("0.00%" if "." in stripped else "0%"))
    if (number := _number(stripped)) is not None:
        return make_cell(number, pattern=pattern or ("#,##0" if "," in stripped else ""))
    for form, shown in _DATE_FORMATS:
        try:
            moment = datetime.strptime(stripped, form)  # noqa: DTZ007
        except ValueError:
            continue
        days = (moment - _EPOCH) / timedelta(days=1)
        return make_cell(int(days) if days == int(days) else days, pattern=pattern or shown)
    return make_cell(text, pattern=pattern)


def _number(text: str) -> int | float | None:
    if not any(character.isdigit() for character in text) or not _NUMBER.match(text):
        return None
    number = float(text.replace(",", ""))
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _calculated(formula: str) -> str:
    match = _HYPERLINK.match(formula)
    if match is None:
        return "#ERROR!"
    return (match[2] if match[2] is not None else match[1]).replace('""', '"')


def rendered(cell: Cell, option: str, *, dates_as_text: bool = False) -> Any:
    """The cell as values.get shows it; "" for an empty one."""
    if option not in RENDER_OPTIONS:
        raise GoogleError(400, f"Invalid value at 'value_render_option', \"{option}\"")
    value = value_of(cell)
    if option == "FORMULA" and formula_of(cell) is not None:
        return formula_of(cell)
    if value is None:
        return ""
    if option == "FORMATTED_VALUE" or (dates_as_text and _is_date(format_of(cell))):
        return shown(value, format_of(cell))
    return value


def shown(value: Any, pattern: str) -> str:
    """The text a person sees (locale en_US)."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return value
    if _is_date(pattern):
        return _date_text(value, pattern)
    if not any(character in pattern for character in "0#"):
        return str(value) if isinstance(value, int) else f"{value:.10g}".replace("e", "E")
    decimals = len(match[1]) if (match := re.search(r"\.([0#]+)", pattern)) else 0
    if "%" in pattern:
        return f"{value * 100:.{decimals}f}%"
    return f"{value:,.{decimals}f}" if "," in pattern else f"{value:.{decimals}f}"


def _is_date(pattern: str) -> bool:
    return bool(re.search(r"[ydhs]", pattern.lower())) and "0" not in pattern


def _date_text(days: float, pattern: str) -> str:
    moment = _EPOCH + timedelta(days=days)
    numbers = {
        "yyyy": f"{moment:%Y}", "yy": f"{moment:%y}", "mm": f"{moment:%m}", "m": str(moment.month),
        "dd": f"{moment:%d}", "d": str(moment.day), "hh": f"{moment:%H}", "h": str(moment.hour),
        "ss": f"{moment:%S}", "s": str(moment.second), ":mm": f":{moment:%M}", ":m": f":{moment.minute}",
    }  # fmt: skip
    # m means minutes right after hours, so ":mm" is tried as a word of its own.
    return _DATE_WORDS.sub(lambda found: numbers[found[0]], pattern.lower())
