"""Extensions are modules: what is wrong with one is said by file and line, and the others are there."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.parts.extensions import configured, loaded
from lifecycle.extensions.loading import Extensions, load
from lifecycle.tools.definition import Tool

TOOL = '''
from lifecycle.extensions import tool

@tool
def {name}(x: int) -> int:
    """Do it."""
    return x
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `team` that can be imported, and is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "team"
    package.mkdir()
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] in ("team", "other", "extensions")]:
        del sys.modules[name]


def loaded_of(package: Path, **modules: str) -> Extensions:
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    return load(["team"], {Tool: ["calculator"]})


def test_a_package_brings_what_its_modules_define(folder: Path) -> None:
    """Not what they import from one another, and not what they keep to themselves."""
    found = loaded_of(
        folder,
        orders=TOOL.format(name="order_status") + "\nalias = order_status\n",
        other="from team.orders import order_status\n" + TOOL.format(name="refund"),
        _private=TOOL.format(name="hidden"),
    )

    assert sorted(found.tools) == ["order_status", "refund"]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("x = 1\nimport nowhere_to_be_found\n", 2, "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("\n\ndef (:\n", 3, "SyntaxError: invalid syntax"),
        ("def f():\n    raise ValueError('key=hunter2')\n\nf()\n", 2, "ValueError"),
        ("raise SystemExit('hunter2')\n", 1, "SystemExit"),
        (
            "from lifecycle.extensions import tool\n\n\n@tool\ndef f(x: int) -> int:\n    return x\n",
            4,
            "TypeError: the tool f has no docstring; the model needs it as its description",
        ),
        (
            "from lifecycle.extensions import chat_client\n\n@chat_client('openai')\ndef f(m, s): ...\n",
            3,
            "ValueError: 'openai' is the name of a built-in provider",
        ),
        (
            "from lifecycle.extensions import context_provider\n\n@context_provider\ndef f(query): ...\n",
            3,
            "TypeError: the context provider f is neither a class nor an async function",
        ),
    ],
    ids=["import", "syntax", "raise", "exit", "docstring", "reserved", "sync"],
)
def test_a_module_that_cannot_be_imported_is_named_by_file_and_line(
    folder: Path, text: str, line: int, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With what Python and our decorators say, but nothing that its own code says; the others are there."""
    found = loaded_of(folder, broken=text, good=TOOL.format(name="good"))
    [problem] = found.problems

    assert sorted(found.tools) == ["good"]
    assert (Path(problem.file), problem.line, problem.what) == (folder / "broken.py", line, what)
    assert f"broken.py:{line}" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_module_that_is_not_there_is_named(folder: Path) -> None:
    """So is one whose package is missing."""
    found = load(["team", "team.nothing", "nothing.at_all"], {})

    assert [(problem.module, problem.what) for problem in found.problems] == [
        ("team.nothing", "ModuleNotFoundError: No module named 'team.nothing'"),
        ("nothing.at_all", "ModuleNotFoundError: No module named 'nothing'"),
    ]


def test_a_name_that_is_taken_twice_is_the_first_ones(folder: Path) -> None:
    """Both places are named; what the app itself has, nobody can replace."""
    check = "from lifecycle.extensions import check\n\n@check\ndef length(response: str) -> float:\n    return 1.0\n"
    found = loaded_of(
        folder,
        a=TOOL.format(name="status"),
        b=TOOL.format(name="status"),
        c=TOOL.format(name="calculator"),
        d=check,
    )
    first = folder / "a.py"

    assert found.tools["status"].function.__module__ == "team.a"
    assert found.checks == {}
    assert [str(problem).removeprefix(f"{folder}/") for problem in found.problems] == [
        f"b.py:4: there is a tool named 'status' at {first}:4 already",
        "c.py:4: the app itself has a tool named 'calculator'",
        "d.py:3: the app itself has a check named 'length'",
    ]


def test_the_folder_of_the_app_is_the_default(tmp_path: Path) -> None:
    """If it is there, and the setting names nothing."""
    nothing = configured("", tmp_path)
    (tmp_path / "extensions").mkdir()

    assert nothing == []
    assert configured("", tmp_path) == ["extensions"]
    assert configured("a, b.c ,", tmp_path) == ["a", "b.c"]


def test_an_app_without_extensions_has_none(tmp_path: Path) -> None:
    """And imports nothing for it."""
    assert loaded("", tmp_path) == Extensions()


def test_the_examples_are_one_of_each(caplog: pytest.LogCaptureFixture) -> None:
    """What a newcomer copies works."""
    caplog.set_level(logging.ERROR)
    found = load(["examples.extensions"], {})

    assert sorted(found.tools) == ["opening_hours", "order_status", "refund_order"]
    assert (list(found.checks), list(found.context), list(found.clients)) == (
        ["polite"],
        ["handbook"],
        ["second_endpoint"],
    )
    assert found.problems == ()
