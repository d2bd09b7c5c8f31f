"""Files of Microsoft's agents runtime, as declarations: what is taken over, and what is refused and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.cli.agent_md import Reading
from lifecycle.cli.command import BadFile
from lifecycle.cli.directory import read_directory
from lifecycle.specs.spec import AgentSpec

READING = Reading(model="gpt-5-mini")
MINIMAL = """---
name: Daily Report
description: Lists what has changed.
---

You report changes.
"""


def write(directory: Path, text: str, name: str = "daily-report.agent.md") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(directory: Path, reading: Reading = READING) -> tuple[str, AgentSpec]:
    (file,) = read_directory(directory, reading)
    return file.name, AgentSpec.model_validate(file.config.given)


def refused(directory: Path, reading: Reading = READING) -> str:
    with pytest.raises(BadFile) as error:
        read_directory(directory, reading)
    return str(error.value).removeprefix(f"{directory}/")


def with_field(field: str) -> str:
    return MINIMAL.replace("---\n\nYou", f"{field}\n---\n\nYou")


def test_what_has_a_meaning_here_is_taken_over(tmp_path: Path) -> None:
    """Instructions, description, model, structured output and metadata; the file's name is the agent's."""
    write(
        tmp_path,
        """---
name: Daily Azure Report
description: Lists resources.
model: gpt-5
trigger:
  type: http_trigger
  args: {route: report, methods: [POST]}
builtin_endpoints: true
metadata:
  owner: platform-team
  version: 2
  tags: [production, cost]
response_schema:
  type: object
  required: [total]
  properties: {total: {type: integer}}
---
You are an assistant.

- Be brief.
""",
    )

    name, spec = read(tmp_path)

    assert name == "daily_report"
    assert (spec.provider, spec.model, spec.description) == ("foundry", "gpt-5", "Lists resources.")
    assert spec.instructions == "You are an assistant.\n\n- Be brief."
    assert spec.labels == {
        "display_name": "Daily Azure Report",
        "owner": "platform-team",
        "version": "2",
        "tags": "production, cost",
    }
    assert spec.response_format is not None
    assert spec.response_format.json_schema["required"] == ["total"]
    assert not spec.response_format.strict


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("main.agent.md", "main"),
        ("agent.md", "main"),
        ("OnNewEmail.AGENT.md", "onnewemail"),
        ("daily-report.agent.md", "daily_report"),
        ("2nd line!.agent.md", "fn_2nd_line"),
        ("agents/billing.agent.md", "billing"),
    ],
)
def test_an_agent_is_called_as_the_runtime_calls_it(tmp_path: Path, file: str, name: str) -> None:
    """By the file's name, in the letters that a function may have; in lower case."""
    write(tmp_path, MINIMAL, file)

    assert read(tmp_path)[0] == name


@pytest.mark.parametrize(
    "field",
    [
        "trigger: {type: timer_trigger, args: {schedule: '0 0 7 * * *'}}",
        "timeout: 30",
        "input_schema: {type: object}",
        "response_example: 'yes'",
        "subagents: [{agent: billing}]",
        "workflows: {enabled: true}",
        "system_tools: {web_request: true}",
        "builtin_endpoints: {chat_api: true, http_auth: anonymous}",
        "logger: true",
        "mcp: {exclude: [x]}",
        "temperature: 0.5",
    ],
)
def test_what_is_not_here_is_refused_by_name_and_can_be_left_out(tmp_path: Path, field: str) -> None:
    """The message has file and field, and how to go on; `ignored` does leave the field out."""
    write(tmp_path, with_field(field))
    name = field.partition(":")[0]

    message = refused(tmp_path)

    assert message.startswith(f"daily-report.agent.md: {name}: ")
    assert message.endswith(f"Remove it, or leave it out with --ignore {name}")
    assert read(tmp_path, replace(READING, ignored=frozenset({name})))[0] == "daily_report"


@pytest.mark.parametrize(
    "field",
    ["logger: false", "mcp: false", "tools: true", "workflows: {enabled: false}", "system_tools: {web_request: false}"],
)
def test_what_asks_for_nothing_is_taken(tmp_path: Path, field: str) -> None:
    """Switching off what is not here says nothing new."""
    write(tmp_path, with_field(field))

    assert read(tmp_path)[0] == "daily_report"


@pytest.mark.parametrize(("place", "field"), [("mcp.json", "mcp"), ("tools", "tools"), ("skills", "skills")])
def test_what_every_agent_of_the_app_would_have_is_refused_too(tmp_path: Path, place: str, field: str) -> None:
    """Servers, tools and skills beside the agents are theirs unless they say no; they are not lost in silence."""
    write(tmp_path, MINIMAL)
    (tmp_path / place).mkdir()

    assert refused(tmp_path).startswith(f"daily-report.agent.md: {field}: every agent has what is in {place}")
    write(tmp_path, with_field(f"{field}: false"))
    assert read(tmp_path)[0] == "daily_report"


def test_variables_are_filled_in_as_the_runtime_does(tmp_path: Path) -> None:
    """In fields and text, but not in code between fences; doubled signs stand for themselves."""
    text = (
        MINIMAL.replace("Lists what has changed.", "For $TEAM.") + "Mail %TO%; $$TEAM, %%TO%%, $5.\n```\n$TEAM\n```\n"
    )
    write(tmp_path, text)

    _, spec = read(tmp_path, replace(READING, environ={"TEAM": "ops", "TO": "a@b.c"}))

    assert spec.description == "For ops."
    assert spec.instructions == "You report changes.\nMail a@b.c; $TEAM, %TO%, $5.\n```\n$TEAM\n```"


def test_a_variable_that_is_not_set_is_refused(tmp_path: Path) -> None:
    """No agent is told `$TO_EMAIL` by accident; a file can say that it means just that."""
    write(tmp_path, MINIMAL + "Mail $TO_EMAIL.\n")

    message = refused(tmp_path)

    assert message.startswith("daily-report.agent.md: instructions: $TO_EMAIL is not set in the environment; ")
    assert "write $$TO_EMAIL for the text itself" in message
    write(tmp_path, with_field("substitute_variables: false") + "Mail $TO_EMAIL.\n")
    assert read(tmp_path)[1].instructions.endswith("Mail $TO_EMAIL.")


def test_the_model_comes_from_the_file_or_the_app_or_the_command(tmp_path: Path) -> None:
    """Somebody must say it; what else the app's own file says is refused like any field."""
    write(tmp_path, MINIMAL)
    assert refused(tmp_path, Reading()) == (
        "daily-report.agent.md: model: is missing; set it here, in agents.config.yaml or with --model"
    )
    write(tmp_path, "model: $MODEL\n", "agents.config.yaml")
    assert read(tmp_path, Reading(environ={"MODEL": "gpt-5"}))[1].model == "gpt-5"
    write(tmp_path, "model: gpt-5\ntimeout: 60\n", "agents.config.yaml")
    assert refused(tmp_path, Reading()).startswith("agents.config.yaml: timeout: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("You report.", "daily-report.agent.md: front matter: is missing; "),
        ("---\nname: x\nYou report.", "daily-report.agent.md: front matter: is missing; "),
        ("---\n- a list\n---\nYou report.", "daily-report.agent.md: front matter: is missing; "),
        ("---\nname: [\n---\nYou report.", "daily-report.agent.md: front matter: cannot be read: "),
        ("---\nname: 5\n---\nYou report.", "daily-report.agent.md: name: must be text"),
        ("---\nmetadata: {a: {b: c}}\n---\n", "daily-report.agent.md: metadata.a: must be a text, a number"),
        ("---\nmetadata: 5\n---\n", "daily-report.agent.md: metadata: must be fields"),
        ("---\nresponse_schema: 5\n---\n", "daily-report.agent.md: response_schema: must be a JSON Schema"),
        ("---\nmodel: 'no model'\n---\n", "daily-report.agent.md: spec.model: "),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    """Whatever is wrong: file, field, and what to mend."""
    write(tmp_path, text)

    assert refused(tmp_path).startswith(message)
