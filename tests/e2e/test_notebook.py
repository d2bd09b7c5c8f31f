"""The notebook runs from its first cell to its last, as Jupyter runs it: with `await` at the top of a cell."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Stack

NOTEBOOK = Path(__file__).parents[2] / "examples/asking.ipynb"


async def test_every_cell_of_the_notebook_runs(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVHOST_URL", stack.host.url)
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done = eval(code, names)
            if inspect.isawaitable(done):
                await done

    assert names["second"].answer
    assert (names["failed"].state, names["failed"].error.code) == ("failed", "provider_unavailable")
    assert len(names["runs"]) >= 3
    assert len(names["schedule"].next_at) == 5
    await names["client"].call("DELETE", "agents/notebook")
    await names["client"].call("DELETE", "agents/notebook-broken")
    await names["client"].aclose()
