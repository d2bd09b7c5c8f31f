"""Applying what was shown, and nothing that was not."""

from __future__ import annotations

from typing import Any

import pytest

from lifecycle.cli.command import CommandFailed
from lifecycle.cli.drift_plans import RegistryPlan, apply_plan
from lifecycle.cli.main import main


def line(agent: str, action: str = "ensure", revision: int = 1, versions: tuple[str, ...] = (), why: str = "W.") -> Any:
    return {
        "agent": agent,
        "action": action,
        "revision": revision,
        "versions": [{"id": each} for each in versions],
        "why": why,
    }


def plan(*lines: Any) -> RegistryPlan:
    return RegistryPlan("p", lines, 0, {})


class Told:
    """Notes what the app is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def call(self, *words: Any) -> None:
        self.calls.append(words)


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ([line("a")], False),
        ([], False),
        ([line("a", why="In other words.")], False),
        ([line("touched", revision=2)], False),  # it was just declared
        ([line("b")], True),
        ([line("a", revision=2)], True),
        ([line("s", "sweep", versions=("1", "2"))], False),
        ([line("s", "sweep", versions=("1", "3"))], True),
        ([line("a", "renew", versions=("1",))], True),
    ],
)
def test_what_was_not_shown_is_not_applied(now: list[Any], refused: bool) -> None:
    """A plan that says more than the one on the screen is left alone, and the message says what is new."""
    app: Any = Told()
    shown = plan(line("a"), line("s", "sweep", versions=("2", "1")))

    if refused:
        with pytest.raises(CommandFailed, match="This was not in the plan that was shown"):
            apply_plan(app, plan(*now), shown, {"touched"}, destructive=False)
        assert app.calls == []
    else:
        apply_plan(app, plan(*now), shown, {"touched"}, destructive=False)
        assert app.calls == [("POST", "registry/apply", {"plan_id": "p", "destructive": False})]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "error: the following arguments are required: COMMAND"),
        (["plan"], "error: the following arguments are required: directory"),
        (["plane", "x"], "error: argument COMMAND: invalid choice: 'plane'"),
        (["apply", "x", "--wait", "long"], "error: argument --wait: invalid float value: 'long'"),
    ],
)
def test_a_wrong_command_line_fails(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 1: the 2 of other programs means "changes are pending" here."""
    with pytest.raises(SystemExit) as ended:
        main(words, {})

    assert ended.value.code == 1
    assert said in capsys.readouterr().err


def test_the_key_is_in_no_message(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the app cannot be reached, the message names its address and the kind of failure only."""
    (tmp_path / "a.yaml").write_text("name: a\nspec: {model: m}")

    code = main(["plan", str(tmp_path), "--url", "http://127.0.0.1:9"], {"LIFECYCLE_KEY": "k-must-not-leak"})

    assert code == 1
    assert "k-must-not-leak" not in capsys.readouterr().err


@pytest.mark.parametrize("key", ["k-must-not-leök", "k-must-not-leak\u200b", "k-must\n-not-leak"])
def test_a_key_that_cannot_be_sent_is_said_without_it(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It was copied with something else; nothing of it is shown."""
    code = main(["status", "--url", "http://127.0.0.1:9"], {"LIFECYCLE_KEY": key})

    shown = capsys.readouterr().err
    assert code == 1
    assert "the function key cannot be sent" in shown
    assert "k-must" not in shown


def test_the_space_around_a_key_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """A line's end comes along when a key is copied: the app is asked, rather than a header refused."""
    main(["status", "--url", "http://127.0.0.1:9"], {"LIFECYCLE_KEY": " k-1 \n"})

    assert "ConnectError" in capsys.readouterr().err
