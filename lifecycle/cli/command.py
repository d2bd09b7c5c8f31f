"""A command, the errors that end one, and the exit codes.

A new command is a module with a `COMMAND`, listed in `lifecycle.cli.main`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from kernel.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line.

    Attributes:
        name: Its name on the command line.
        help: One sentence for `--help`.
        declare: Adds its own arguments to the parser, besides `--url`, `--key` and `--workspace`.
        run: Runs it with the arguments, the environment and the output; returns the exit code
            (`lifecycle.cli.command`). Raises CommandFailed on errors.
    """

    name: str
    help: str
    declare: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Mapping[str, str], TextIO], int]


NOTHING_TO_DO = 0
FAILED = 1
SOMETHING_LEFT = 2


class CommandFailed(Exception):
    """The command failed; the text has the reason and what to do."""


class BadFile(CommandFailed):
    """A file is not valid; the text names the file and the field."""

    def __init__(self, path: Path, field: str, problem: str) -> None:
        super().__init__(f"{path}: {field}: {problem}" if field else f"{path}: {problem}")


def where(error: Exception) -> str:
    """Return, in one line, why and where a file cannot be parsed; never quotes the file's content."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is not UTF-8 text"
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark else str(problem)
