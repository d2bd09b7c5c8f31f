"""Loads extensions. Errors are reported with file and line, and do not affect other modules."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from types import ModuleType
from typing import Any

from kernel.lazy_dataclass import dataclass
from lifecycle.evaluation.builtin_checks import BUILTIN
from lifecycle.evaluation.checks import Check
from lifecycle.extensions.definition import ChatClientMaker
from lifecycle.teams.extension_conditions import HandoffCondition
from lifecycle.tools.context_providers import ContextSource
from lifecycle.tools.definition import Tool

log = logging.getLogger(__name__)

Extension = Tool | Check | ContextSource | ChatClientMaker | HandoffCondition


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a module, or something in it, could not be loaded.

    Attributes:
        module: The module's name.
        file: The file; empty if unknown.
        line: The line in it; 0 if unknown.
        what: What is wrong, without text from the module's own code.
    """

    module: str
    file: str
    line: int
    what: str

    @property
    def where(self) -> str:
        """The file's name and line, without its path; the module where there is no file."""
        return f"{Path(self.file).name}:{self.line}" if self.file else self.module

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else self.module
        return f"{place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Extensions:
    """What extensions provide, by name, and the problems with them."""

    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    checks: Mapping[str, Check] = field(default_factory=dict[str, Check])
    context: Mapping[str, ContextSource] = field(default_factory=dict[str, ContextSource])
    clients: Mapping[str, ChatClientMaker] = field(default_factory=dict[str, ChatClientMaker])
    conditions: Mapping[str, HandoffCondition] = field(default_factory=dict[str, HandoffCondition])
    problems: tuple[Problem, ...] = ()


def load(names: Iterable[str], taken: Mapping[type[Any], Iterable[str]]) -> Extensions:
    """Import the modules and return what they provide. A package includes the modules directly in it.

    Args:
        names: Names of the modules.
        taken: Names in use by the app, by what has them (`Tool`, `Check`); an extension cannot replace them.
    """
    problems: list[Problem] = []
    found: dict[type[Any], dict[str, tuple[Any, Problem]]] = {kind: {} for kind in _KINDS}
    reserved = {(Check, name) for name in BUILTIN} | {(kind, name) for kind, all_ in taken.items() for name in all_}
    for module in _imported(names, problems):
        for one, place in _extensions_of(module):
            kind = type(one)
            if (kind, one.name) in reserved:
                problems.append(_with(place, f"the app itself has a {_KINDS[kind]} named {one.name!r}"))
            elif (earlier := found[kind].get(one.name)) is not None:
                where = f"{earlier[1].file}:{earlier[1].line}"
                problems.append(_with(place, f"there is a {_KINDS[kind]} named {one.name!r} at {where} already"))
            else:
                found[kind][one.name] = one, place
    for problem in problems:
        log.error("extension %s", problem, extra={"event": "extension.failed"})
    plain = {kind: {name: one for name, (one, _) in each.items()} for kind, each in found.items()}
    return Extensions(
        plain[Tool],
        plain[Check],
        plain[ContextSource],
        plain[ChatClientMaker],
        plain[HandoffCondition],
        tuple(problems),
    )


_KINDS: Mapping[type[Any], str] = {
    Tool: "tool",
    Check: "check",
    ContextSource: "context provider",
    ChatClientMaker: "chat client",
    HandoffCondition: "condition of handoffs",
}


def _imported(names: Iterable[str], problems: list[Problem]) -> Iterator[ModuleType]:
    for name in dict.fromkeys(names):
        module = _import(name, problems)
        if module is None:
            continue
        yield module
        for info in pkgutil.iter_modules(getattr(module, "__path__", []), f"{name}."):
            if not info.name.rpartition(".")[2].startswith("_") and (inner := _import(info.name, problems)):
                yield inner


def _import(name: str, problems: list[Problem]) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's module does, the app serves the rest
        problems.append(_problem(name, error))
        return None


def _problem(name: str, error: BaseException) -> Problem:
    """Return why a module could not be imported, with the last place in it that led to the error."""
    if isinstance(error, SyntaxError):
        return Problem(name, error.filename or "", error.lineno or 0, f"SyntaxError: {error.msg}")
    frames = [one for one in traceback.extract_tb(error.__traceback__) if _is_of(one.filename, name)]
    file, line = (frames[-1].filename, frames[-1].lineno or 0) if frames else ("", 0)
    # An error raised by the module's own code may quote secret data; those of Python and of our decorators do not.
    own = isinstance(error, ImportError) or _raised_here(error)
    text = f"{type(error).__name__}: {error}" if own else type(error).__name__
    return Problem(name, file, line, text)


def _is_of(filename: str, name: str) -> bool:
    path = Path(filename)
    parts = [*path.parent.parts, path.stem] if path.stem != "__init__" else list(path.parent.parts)
    wanted = name.split(".")
    return parts[-len(wanted) :] == wanted


def _raised_here(error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    package_root = Path(__file__).parents[1]
    return bool(last) and Path(last[0].filename).is_relative_to(package_root)


def _extensions_of(module: ModuleType) -> Iterator[tuple[Extension, Problem]]:
    """Yield what the module defines itself; what it imports belongs to the other module."""
    seen: set[int] = set()
    for value in list(vars(module).values()):
        if not isinstance(value, Extension) or id(value) in seen:
            continue
        seen.add(id(value))
        function: Callable[..., Any] = (
            value.make if isinstance(value, ContextSource | ChatClientMaker) else value.function
        )
        if getattr(function, "__module__", None) == module.__name__:
            yield value, Problem(module.__name__, *_place(function), "")


def _place(function: Any) -> tuple[str, int]:
    code = getattr(function, "__code__", None)
    if code is not None:
        return str(code.co_filename), int(code.co_firstlineno)
    import inspect  # noqa: PLC0415 - for a class only

    try:
        return inspect.getsourcefile(function) or "", inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return "", 0


def _with(place: Problem, what: str) -> Problem:
    return Problem(place.module, place.file, place.line, what)
