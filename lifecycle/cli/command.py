"""What a command is. A new one is a module with a `COMMAND`, listed in `lifecycle.cli.main`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        name: What it is called with.
        help: What it does, in a sentence.
        declare: Adds its own arguments; `--url`, `--key` and `--workspace` are there already.
        run: Given the arguments, the environment and where to write: does it, and returns the exit code
            (`lifecycle.cli.failures`). Raises CommandFailed where it cannot be done.
    """

    name: str
    help: str
    declare: Callable[[ArgumentParser], None]
    run: Callable[[Namespace, Mapping[str, str], TextIO], int]
