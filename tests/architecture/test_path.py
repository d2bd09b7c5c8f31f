"""The path of a run through the code, as docs/architecture.md draws it: which classes call which, and how many."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.lifecycle.app import App, Gate
from tests.lifecycle.doubles import CountingTables

ROOT = Path(__file__).parents[2]
MOST_HOPS = 6
"""Most classes between the queue's trigger and the model or the table."""


def callers() -> list[str]:
    """Return the classes of this project on the stack, outermost first, each once."""
    found: list[str] = []
    frame = sys._getframe(1)
    while frame is not None:
        name, _, method = frame.f_code.co_qualname.partition(".")
        ours = Path(frame.f_code.co_filename).is_relative_to(ROOT) and ".venv" not in frame.f_code.co_filename
        if ours and method and "tests" not in Path(frame.f_code.co_filename).parts:
            found.append(name)
        frame = frame.f_back
    return list(dict.fromkeys(reversed(found)))


class RecordingTables(CountingTables):
    """Tables that keep who called for each write of a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[list[str]] = []

    async def commit(self, table: str, *args: Any, **kwargs: Any) -> Any:
        if table == "conversations":
            self.paths.append(callers())
        return await super().commit(table, *args, **kwargs)


class RecordingGate(Gate):
    """An open gate before the model that keeps who called it."""

    path: list[str]

    async def passed(self) -> None:
        self.path = callers()


def drawn(path: list[str]) -> str:
    return " → ".join(f"`{name}`" for name in path)


async def test_a_run_goes_through_few_classes_and_the_document_names_them() -> None:
    """From the trigger to the model, to the claim and to the stored answer, each a line of the document."""
    tables, gate = RecordingTables(), RecordingGate()
    app = App(tables)
    worker = app.worker(gate=gate)
    await app.declare()
    for _ in range(2):  # the worker has the agent at hand the second time
        await app.submit()
        tables.paths.clear()
        await app.process(app.queue.sent[-1], worker=worker)
    await worker.aclose()
    await app.aclose()
    document = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = [(gate.path, "agent"), *((path, "tables") for path in tables.paths)]
    # RunWorker runs an attempt as a task of its own: there the stack begins, also for a first call that was not stored
    # with the claim, as on a slow machine, where the agent is looked up again.
    paths = [["run_agent", *dict.fromkeys(["RunWorker", *path]), end] for path, end in found]

    for path in paths:
        assert len(path) - 2 <= MOST_HOPS, path
        assert drawn(path) in " ".join(document.split()), drawn(path)
