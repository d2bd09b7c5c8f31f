"""Definition of a command. A new one is a module with a `COMMAND`, listed in `lifecycle.cli.main`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the command line.

    Attributes:
        name: Its name on the command line.
        help: One sentence for `--help`.
        declare: Adds its own arguments to the parser, besides `--url`, `--key` and `--workspace`.
        run: Runs it with the arguments, the environment and the output; returns the exit code
            (`lifecycle.cli.failures`). Raises CommandFailed on errors.
    """

    name: str
    help: str
    declare: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Mapping[str, str], TextIO], int]
