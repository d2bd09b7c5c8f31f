"""The library as a program uses it: from `lifecycle`, on each kind of storage, with and without a context manager."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.services import Services
from devhost.services import start_azurite
from kernel.errors import Conflict, InvalidInput, NotFound, RunFailed, Unavailable
from kernel.settings import InvalidSettings
from kernel.tables import Span
from lifecycle import AgentSpec, ProductionAgent, ProductionAgentManager, Progress
from tests.lifecycle.doubles import quick_settings
from triggers.http.sessions.transcripts import as_view

ANOTHER_PROCESS = """
import asyncio, json, sys
from lifecycle import ProductionAgentManager

async def main():
    async with ProductionAgentManager(sys.argv[1]) as manager:
        agent = await manager.get_or_create("helper", model="gpt-5-mini", instructions="Be brief.")
        run = await agent.run("Hello?")
        told = await manager.history(sys.argv[2])
        stats = await manager.stats()
        print(json.dumps([stats.created, stats.runs, stats.reused, [turn.text for turn in told][0], run.state]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the connection string of a storage account."""
    with start_azurite(tmp_path_factory.mktemp("azurite"), timeout_s=120) as azurite:
        yield azurite.connection_string


async def test_three_lines_make_an_agent_answer() -> None:
    """In memory, with nothing set and nothing started."""
    async with ProductionAgent("helper", model="gpt-5-mini", instructions="Be brief.") as agent:
        run = await agent.run("What is a durable entity?")

    assert run.state == "succeeded"
    assert "'helper' received 5 words" in (run.answer or "")


@pytest.mark.parametrize("kind", ["file", "account"])
async def test_another_process_on_the_same_storage_reuses_what_the_first_made(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One version, runs of both counted, and the second reads what was said in the first."""
    storage = str(tmp_path / "agents.db") if kind == "file" else request.getfixturevalue("account")
    async with ProductionAgentManager(storage) as manager:
        agent = await manager.get_or_create("helper", model="gpt-5-mini", instructions="Be brief.")
        await agent.run("EarlierMessage in the first process.")
    done = subprocess.run(  # noqa: ASYNC221 - nothing else is to go on
        [sys.executable, "-c", ANOTHER_PROCESS, storage, agent.session_id],
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(done.stdout or done.stderr) == [1, 2, 1, "EarlierMessage in the first process.", "succeeded"]


AT_ONCE = """
import asyncio, sys
from lifecycle import ProductionAgentManager

async def main():
    async with ProductionAgentManager(sys.argv[1]) as manager:
        await manager.services.agents.catalog.list("default", 10)
        print("ready", flush=True)
        sys.stdin.readline()
        agents = [manager.get_or_create(f"helper-{n}", model="gpt-5-mini") for n in range(4)]
        for agent in await asyncio.gather(*agents):
            await agent.run("Hello?")

asyncio.run(main())
"""


async def test_processes_that_make_agents_at_the_same_moment_make_each_once(tmp_path: Path) -> None:
    """Three processes, four agents: four versions at the provider, and every run is counted."""
    path = tmp_path / "agents.db"
    command = [sys.executable, "-c", AT_ONCE, str(path)]
    processes = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()
    ends = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    async with ProductionAgentManager(path) as manager:
        stats = await manager.stats()
        found = await manager.services.core.tables.query("offlineagents", Span("", partition_before="~"))
        made = [row.key for row in found.rows if not row.partition.endswith("!counts")]

    assert [error.decode() for _, error in ends] == [""] * 3
    assert made == ["1"] * 4
    assert (stats.agents, stats.created, stats.runs) == (4, 4, 12)


async def test_a_conversation_goes_on_in_another_object(tmp_path: Path) -> None:
    """Whoever names its id goes on with it; a text that is too long for a row comes back, too."""
    path = tmp_path / "agents.db"
    async with ProductionAgent(
        "helper", model="x", simulate={"reply": "long " * 4000}, storage=path, reuse_agent=True
    ) as agent:
        await agent.run("Remember the number seven.")
    async with ProductionAgent("helper", storage=path, session_id=agent.session_id) as again:
        await again.run("Which number?")
        history = await again.history()

    assert [turn.role for turn in history] == ["user", "assistant"] * 2
    assert history[1].text == "long " * 4000


async def test_stages_are_told_in_order_and_once() -> None:
    """To a function or a coroutine function, of the manager, the agent or one run."""
    seen: dict[str, list[Progress]] = {"manager": [], "agent": [], "run": []}

    async def of_agent(progress: Progress) -> None:
        seen["agent"].append(progress)

    async with ProductionAgentManager(on_progress=seen["manager"].append) as manager:
        plain = await manager.get_or_create("helper", model="gpt-5-mini")
        first = await plain.run("One")
        own = ProductionAgent("helper", manager=manager, on_progress=of_agent)
        await own.run("Two")
        await own.run("Three", on_progress=seen["run"].append)

    stages = {name: [each.stage.value for each in told] for name, told in seen.items()}
    assert set(map(tuple, stages.values())) == {("INITIALIZING", "RUNNING", "EVALUATING", "COMPLETED")}
    assert {(each.run_id, each.attempt, each.code) for each in seen["manager"]} == {(first.id, 1, None)}


async def test_a_failure_is_told_with_its_code_before_it_is_raised() -> None:
    """And each attempt begins anew."""
    seen: list[Progress] = []
    services = Services.in_memory(quick_settings())
    manager = ProductionAgentManager(services=services, on_progress=seen.append)
    agent = await manager.get_or_create("broken", model="x", simulate={"fail_first": 9, "fail_with": "content_filter"})
    with pytest.raises(RunFailed, match="Simulated failure"):
        await agent.run("Hello?")
    await manager.aclose()
    await services.aclose()

    assert (seen[-1].stage.value, seen[-1].code) == ("FAILED", "content_filter")


async def test_an_error_of_the_callers_own_function_cancels_the_run() -> None:
    """It reaches the caller, and no model is left at work."""

    def fails(progress: Progress) -> None:
        raise ZeroDivisionError(progress.stage)

    async with ProductionAgentManager() as manager:
        agent = await manager.get_or_create("slow", model="x", simulate={"latency_ms": 60_000})
        with pytest.raises(ZeroDivisionError):
            await agent.run("Hello?", on_progress=fails)
        session = await agent.session()

    assert session is not None
    assert (session.pending, session.turns) == (0, 0)


async def test_without_reuse_an_agent_is_its_own_and_gone_after(tmp_path: Path) -> None:
    """Two of them are two; one that was never used was never made; all others stay."""
    path = tmp_path / "agents.db"
    fields = {"model": "gpt-5-mini", "storage": path}
    async with ProductionAgent("helper", **fields) as kept:
        await kept.run("Hello?")
    async with ProductionAgent("helper", reuse_agent=False, **fields) as alone:
        await alone.run("Hello?")
        names = {kept.name, alone.name, ProductionAgent("helper", reuse_agent=False, **fields).name}
    async with ProductionAgentManager(path) as manager:
        stats = await manager.stats()

    assert len(names) == 3
    assert (stats.agents, stats.active, stats.runs) == (1, 1, 1)


async def test_it_works_without_a_context_manager(tmp_path: Path) -> None:
    """Closing it is one call, and can be repeated; the same storage can be opened again."""
    manager = ProductionAgentManager(tmp_path / "agents.db")
    await manager.get_or_create("one", model="gpt-5-mini")
    await manager.get_or_create("two", model="gpt-5-mini")
    await manager.cleanup("one")
    await manager.aclose()
    await manager.aclose()
    again = ProductionAgentManager(tmp_path / "agents.db")
    deleted = await again.cleanup_all()
    await again.aclose()

    assert deleted == 1


async def test_agents_that_were_declared_need_no_spec() -> None:
    """One that was not is not found; prewarming several makes them ready."""
    async with ProductionAgentManager() as manager:
        await manager.get_or_create("helper", AgentSpec(model="gpt-5-mini"))
        await manager.prewarm(["helper"])
        run = await (await manager.get_or_create("helper")).run("Hello?")
        with pytest.raises(NotFound):
            await manager.get_or_create("nobody")

    assert run.model == "gpt-5-mini"


async def test_a_failed_prewarm_is_tried_again_by_the_next_call() -> None:
    """An agent that could not be made once is made by the run after."""
    async with ProductionAgent("late", model="x", simulate={"fail_creates": 1}) as agent:
        with pytest.raises(Unavailable):
            await agent.prewarm()

        assert (await agent.run("Hello?")).answer


async def test_a_session_is_exported_as_the_api_exports_it() -> None:
    """Each field under the API's name, with its value; what is no session is not found."""
    async with ProductionAgentManager() as manager:
        agent = await manager.get_or_create("helper", model="gpt-5-mini")
        await agent.run("Hello?", user_id="ada")
        data = await agent.export_session_data()
        from lifecycle.sessions.transcript import transcript_of  # noqa: PLC0415

        session = await agent.session()
        assert session is not None
        api = as_view(await transcript_of(manager.services.conversations.store, session)).model_dump(mode="json")
        with pytest.raises(NotFound):
            await manager.export_session_data("none")

    def shared(ours: object, theirs: object) -> object:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return {name: shared(value, theirs[name]) for name, value in ours.items()}
        if isinstance(ours, list) and isinstance(theirs, list):
            return [shared(*pair) for pair in zip(ours, theirs, strict=True)]
        if isinstance(ours, str) and isinstance(theirs, str) and ours.endswith("Z"):
            return f"{theirs[:23]}Z"  # to the millisecond
        return theirs

    assert json.loads(json.dumps(data)) == shared(data, api)
    assert data["messages"][0]["text"] == "Hello?"


async def test_settings_come_from_the_environment_or_by_their_python_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name given goes before the environment; one that is misspelt is an error, and so is a wrong value."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")
    monkeypatch.setenv("MAX_QUERY_BYTES", "100")
    manager = ProductionAgentManager(max_query_bytes=10)
    settings = manager.services.core.settings
    await manager.aclose()

    assert (settings.openai_base_url, settings.max_query_bytes) == ("http://127.0.0.1:11434/v1", 10)
    mistakes: tuple[dict[str, Any], ...] = ({"opena_api_key": "x"}, {"max_query_bytes": "many"})
    for wrong in mistakes:
        with pytest.raises(InvalidSettings, match=r"opena_api_key|MAX_QUERY_BYTES"):
            ProductionAgentManager(**wrong)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"modell": "x"}, "invalid_spec"),
        ({"model": "x", "temperature": 3}, "invalid_spec"),
        ({"spec": AgentSpec(model="x"), "model": "x"}, "spec_and_fields"),
    ],
)
async def test_a_wrong_spec_is_said_and_nothing_is_declared(wrong: dict[str, object], code: str) -> None:
    """By one error with a stable code."""
    async with ProductionAgentManager() as manager:
        with pytest.raises(InvalidInput) as caught:
            await manager.get_or_create("helper", **wrong)  # pyright: ignore[reportArgumentType]

        assert caught.value.code == code
        assert (await manager.stats()).agents == 0


async def test_a_misspelt_keyword_is_told_as_the_api_tells_it() -> None:
    """With those that there are, and without what was given."""
    with pytest.raises(InvalidInput) as refused:
        ProductionAgent("helper", modle="a-secret")

    assert refused.value.fields["/modle"] == "There is no such field"
    assert "There is no modle; known are " in refused.value.detail
    assert "a-secret" not in refused.value.detail


async def test_a_query_that_is_none_is_an_error_of_this_library() -> None:
    """It says what is wrong, not what was given; nothing is run."""
    query: Any = None
    async with ProductionAgent("helper", model="gpt-5-mini") as agent:
        with pytest.raises(InvalidInput) as refused:
            await agent.run(query, user_id="a-secret")
        with pytest.raises(InvalidInput):
            await anext(agent.stream(query))
        session = await agent.session()

    assert (refused.value.code, refused.value.fields) == ("invalid_input", {"/query": "Field required"})
    assert "a-secret" not in str(refused.value)
    assert session is None


async def test_what_is_closed_is_not_opened_again(tmp_path: Path) -> None:
    """Neither by the manager nor by its agents; closing it again changes nothing."""
    path = tmp_path / "agents.db"
    manager = ProductionAgentManager(path)
    agent = await manager.get_or_create("helper", model="gpt-5-mini")
    await agent.run("Hello?")
    own = ProductionAgent("helper", model="gpt-5-mini", storage=path)
    await asyncio.gather(manager.aclose(), own.aclose())
    await manager.aclose()
    at_rest = _files(tmp_path)

    uses = (agent.run("Hello?"), own.run("Hello?"), anext(agent.stream("Hello?")), agent.session(), own.prewarm())
    for use in (*uses, manager.stats(), manager.get_or_create("other", model="x"), manager.cleanup_all()):
        with pytest.raises(Conflict) as refused:
            await use
        assert refused.value.code == "manager_closed"
    assert _files(tmp_path) == at_rest


def _files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_storage_is_named_once() -> None:
    """A manager has its storage, and so have services."""
    manager = ProductionAgentManager()
    with pytest.raises(InvalidInput, match="not both"):
        ProductionAgent("helper", manager=manager, storage="agents.db")
    with pytest.raises(InvalidInput, match="not both"):
        ProductionAgentManager("agents.db", services=manager.services)


def test_importing_lifecycle_loads_nothing_of_it() -> None:
    """Each name comes with its first use."""
    code = (
        "import lifecycle, sys; print(*[name for name in sys.modules if name.startswith(('bootstrap', 'lifecycle.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("\n", "")


def opening_hours(weekday: str) -> str:
    """Look up when the shop is open."""
    return f"closed on {weekday}"


async def test_functions_of_the_program_are_tools() -> None:
    """As they are, beside tools that every app has; the agent calls them, and the same function again is no other."""
    async with ProductionAgentManager() as manager:
        fields = {"model": "x", "tools": [opening_hours, "calculator"], "simulate": {"call_tool": "opening_hours"}}
        agent = await manager.get_or_create("shop", **fields)  # pyright: ignore[reportArgumentType]
        again = await manager.get_or_create("shop", **fields)  # pyright: ignore[reportArgumentType]
        run = await agent.run("Sunday")
        await again.run("Monday")
        stats = await manager.stats()

    assert "closed on" in (run.answer or "")
    assert stats.created == 1


async def test_what_can_be_no_tool_is_refused() -> None:
    """A function without a docstring, and one whose name is taken."""

    def silent(weekday: str) -> str:
        return weekday

    def calculator(expression: str) -> str:
        """Not the one that every app has."""
        return expression

    async with ProductionAgentManager() as manager:
        for wrong, code in ((silent, "invalid_tool"), (calculator, "tool_name_taken")):
            with pytest.raises(InvalidInput) as caught:
                await manager.get_or_create("shop", model="x", tools=[wrong])
            assert caught.value.code == code
