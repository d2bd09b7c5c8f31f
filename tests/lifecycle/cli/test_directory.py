"""Directories of YAML files, and what declaring them changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lifecycle.cli.agent_md import Reading
from lifecycle.cli.command import BadFile, CommandFailed
from lifecycle.cli.directory import KINDS, AgentFile, read_directory, read_kind
from lifecycle.cli.planned_changes import Declared, changes_of
from lifecycle.configuration.kinds import Kind
from lifecycle.configuration.layers import AgentConfig
from lifecycle.specs.team import Team
from lifecycle.specs.workflow import WorkflowSpec

ROOT = Path(__file__).parents[3]


def config(**fields: object) -> AgentConfig:
    return AgentConfig.model_validate({"model": "gpt-5-mini", **fields})


def file(name: str, **fields: object) -> AgentFile:
    return AgentFile(Path(f"{name}.yaml"), name, config(**fields))


def there(name: str, **fields: object) -> dict[str, Declared]:
    return {name: Declared(name, config(**fields), '"3"')}


def test_the_examples_can_be_read() -> None:
    """The files that `make start` declares are a directory of agents."""
    files = read_directory(ROOT / "examples/agents", Reading())

    assert {"customer_service", "market_analyst", "tech_advisor"} <= {each.name for each in files}
    assert all(each.config.given for each in files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "a.yaml: cannot be read: "),
        ("", "a.yaml: name: is missing; a file has name and spec"),
        ("- a", "a.yaml: name: is missing"),
        ("name: a", "a.yaml: spec: is missing"),
        ("name: A!\nspec: {model: m}", "a.yaml: name: Not a valid agent name"),
        ("name: a\nspec: {model: m}\nlabels: {}", "a.yaml: labels: is not known here"),
        ("name: a\nspec: {model: m, temprature: 1}", "a.yaml: spec.temprature: "),
        ("name: a\nspec: {model: m, temperature: hot}", "a.yaml: spec.temperature: "),
        ("name: a\nspec: {model: m, labels: {x: 1}}", "a.yaml: spec.labels.x: "),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    """File, field and what to mend, in one line."""
    (tmp_path / "a.yaml").write_text(text)

    with pytest.raises(BadFile) as error:
        read_directory(tmp_path, Reading())

    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(message)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_a_bad_file(tmp_path: Path) -> None:
    """No traceback for a file that is not UTF-8."""
    (tmp_path / "a.yaml").write_bytes(b"name: \xff\xfe")

    with pytest.raises(BadFile, match=r"a\.yaml: cannot be read: it is not UTF-8 text"):
        read_directory(tmp_path, Reading())


def test_two_files_cannot_declare_the_same_agent(tmp_path: Path) -> None:
    """Both are named."""
    (tmp_path / "a.yaml").write_text("name: main\nspec: {model: m}")
    (tmp_path / "main.agent.md").write_text("---\nmodel: m\n---\nHello.")

    with pytest.raises(BadFile, match=r"main\.agent\.md: name: .*a\.yaml declares 'main', too"):
        read_directory(tmp_path, Reading())


@pytest.mark.parametrize("make", [False, True])
def test_an_empty_directory_is_a_mistake(tmp_path: Path, make: bool) -> None:
    """A wrong path must not look like "delete everything"."""
    place = tmp_path / "agents"
    if make:
        place.mkdir()

    with pytest.raises(CommandFailed, match="holds no agents" if make else "is not a directory"):
        read_directory(place, Reading(), managed_by="us")


def test_managed_agents_are_labelled(tmp_path: Path) -> None:
    """The label is put into each; a file that says another one is refused."""
    (tmp_path / "a.yaml").write_text("name: a\nspec: {model: m, labels: {team: x}}")

    (read,) = read_directory(tmp_path, Reading(), managed_by="us")

    assert read.config.given["labels"] == {"team": "x", "managed_by": "us"}
    (tmp_path / "a.yaml").write_text("name: a\nspec: {model: m, labels: {managed_by: them}}")
    with pytest.raises(BadFile, match=r"spec\.labels\.managed_by: is 'them'"):
        read_directory(tmp_path, Reading(), managed_by="us")


def test_changes_are_told_by_field() -> None:
    """Short values are shown, long ones by their length; what is the same is unchanged."""
    files = [file("a", instructions="x" * 50, temperature=0.5), file("b"), file("c", tools=["calculator"])]
    declared = there("a", instructions="y" * 60) | there("c", tools=("calculator",))

    changes = changes_of(files, declared)

    assert [(each.kind.value, each.name, each.etag) for each in changes] == [
        ("update", "a", '"3"'),
        ("create", "b", ""),
        ("unchanged", "c", '"3"'),
    ]
    assert changes[0].details == [
        "instructions: (62 characters) -> (52 characters)",
        "temperature: (not said) -> 0.5",
    ]


def test_only_managed_agents_are_deleted() -> None:
    """An agent without a file is deleted when it carries the directory's label, and only then."""
    us, them = {"managed_by": "us"}, {"managed_by": "them"}
    declared = there("ours", labels=us) | there("theirs", labels=them) | there("nobodys") | there("kept", labels=us)

    changes = changes_of([file("kept", labels=us)], declared, "us")

    assert [(each.kind.value, each.name) for each in changes] == [("unchanged", "kept"), ("delete", "ours")]
    assert [each.name for each in changes_of([file("kept", labels=us)], declared)] == ["kept"]


def test_another_directorys_agent_is_not_taken_over() -> None:
    """Two directories that declare the same name: the second is told."""
    with pytest.raises(BadFile, match="'a' is managed by 'them'"):
        changes_of([file("a", labels={"managed_by": "us"})], there("a", labels={"managed_by": "them"}), "us")


def test_the_example_team_can_be_read() -> None:
    """Its members are the agents of the same directory, and people."""
    (file,) = read_kind(ROOT / "examples/teams", Kind.TEAM)
    agents = [each.name for each in read_directory(ROOT / "examples/teams", Reading())]

    assert isinstance(file.content, Team)
    assert (file.name, sorted(file.content.agents)) == ("support", agents)
    assert [member.human for member in file.content.members] == [False, False, False, True]


def test_the_example_workflow_can_be_read() -> None:
    """It asks the agents of the same directory, and a directory may hold all three kinds of files."""
    (file,) = read_kind(ROOT / "examples/teams", Kind.WORKFLOW)
    agents = {each.name for each in read_directory(ROOT / "examples/teams", Reading())}

    assert isinstance(file.content, WorkflowSpec)
    assert file.content.agents.keys() <= agents


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: W!\nworkflow: {steps: [{name: a, agent: a}]}", "name: Not a valid workflow name"),
        ("name: w\nworkflow: {steps: []}", "workflow.steps: At least 1 needed"),
        ("name: T!\nteam: {members: [{name: a, agent: a}]}", "name: Not a valid team name"),
        ("name: t\nteam: {members: []}", "team.members: At least 1 needed"),
        ("name: t\nteam: {members: [{name: a, agent: a}]}\nspec: {}", "spec: is not known here"),
    ],
)
def test_a_file_of_a_team_or_workflow_that_is_wrong_is_named_with_its_field(
    tmp_path: Path, text: str, message: str
) -> None:
    """Nothing is read of it."""
    (tmp_path / "t.yaml").write_text(text)
    (kind,) = [kind for kind in KINDS if f"{kind.value}:" in text]
    with pytest.raises(BadFile, match=re.escape(message)):
        read_kind(tmp_path, kind)
