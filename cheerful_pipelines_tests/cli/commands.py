"""Every command of the tool, found from the tool itself, with its parameters and a way to run it as a process does."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import typer

from cheerful_pipelines.cli import app
from cheerful_pipelines.cli.entry import run


class Parameter(NamedTuple):
    """One argument or option of a command."""

    option: str | None
    """`--client`; None for an argument."""
    is_path: bool
    required: bool
    is_flag: bool


class Command(NamedTuple):
    """One command: its words and what it takes."""

    words: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def all_commands() -> dict[str, Command]:
    """By name (`accounts add`), every command of `cheerful`."""
    return {" ".join(found.words): found for found in _below(typer.main.get_command(app), ())}


def _below(command: Any, words: tuple[str, ...]) -> Iterator[Command]:
    if hasattr(command, "commands"):
        for name, found in command.commands.items():
            yield from _below(found, (*words, name))
        return
    yield Command(words, tuple(_parameter(one) for one in command.params if "--help" not in one.opts))


def _parameter(found: Any) -> Parameter:
    return Parameter(
        option=found.opts[0] if found.opts[0].startswith("-") else None,
        is_path="path" in str(getattr(found, "type_descriptor", None) or found.type).lower(),
        required=found.required,
        is_flag=bool(getattr(found, "is_flag", False)),
    )


class Ran(NamedTuple):
    """What a run of the tool gave."""

    code: int
    output: str
    """Standard output and standard error together."""


def run_tool(*words: str) -> Ran:
    """The tool's real entry, in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = run(app, list(words))
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return Ran(code, out.getvalue())
