"""The `fields` parameter: `a,b(c,d),e/f` or `sheets.properties`, read into a tree and laid over an answer."""

import re
from typing import Any

from cheerful_pipelines.local_google.calls import GoogleError

Mask = dict[str, Any]
_WORDS = re.compile(r"[A-Za-z0-9_*]+|[,()/.]")


def parse_mask(text: str) -> Mask:
    """The mask as nested dicts; an empty dict means everything below. 400 for a mask that does not parse."""
    words = _WORDS.findall(text)
    if "".join(words) != text.replace(" ", ""):
        raise GoogleError(400, f"Invalid field selection {text}", reason="invalidParameter")
    mask, rest = _selection(words)
    if rest:
        raise GoogleError(400, f"Invalid field selection {text}", reason="invalidParameter")
    return mask


def _selection(words: list[str]) -> tuple[Mask, list[str]]:
    mask: Mask = {}
    while words and words[0] != ")":
        if words[0] == ",":
            words = words[1:]
            continue
        path, words = _path(words)
        inner: Mask = {}
        if words and words[0] == "(":
            inner, words = _selection(words[1:])
            words = words[1:]
        _merge(mask, path, inner)
    return mask, words


def _path(words: list[str]) -> tuple[list[str], list[str]]:
    path = [words[0]]
    words = words[1:]
    while len(words) > 1 and words[0] in "/.":
        path.append(words[1])
        words = words[2:]
    return path, words


def _merge(mask: Mask, path: list[str], inner: Mask) -> None:
    for name in path[:-1]:
        mask = mask.setdefault(name, {})
    mask.setdefault(path[-1], {}).update(inner)


def apply_mask(value: Any, mask: Mask) -> Any:
    """Only what the mask names. Lists are masked item by item."""
    if not mask or "*" in mask:
        return value
    if isinstance(value, list):
        return [apply_mask(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: apply_mask(value[name], inner) for name, inner in mask.items() if name in value}
