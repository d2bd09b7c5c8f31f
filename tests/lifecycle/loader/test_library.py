"""The loader as a library: few agents live of many on disk, never closed under their callers, surviving any kill."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import textwrap
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lifecycle
from kernel.errors import AppError, Conflict, InvalidInput, NotFound
from lifecycle import ActiveAgent, AgentConfiguration, LazyAgentLoader, LearningRules, LoaderNumbers
from lifecycle.loader.cache_plan import Allowance
from tests.connections import hang_up, listening
from tests.lifecycle.doubles import ManualClock
from tests.waiting import eventually


class Bot:
    """An agent that knows whether it is open."""

    def __init__(self, configuration: AgentConfiguration) -> None:
        self.configuration = configuration
        self.open = True

    async def run(self, text: str) -> str:
        if not self.open:
            msg = "used after it was closed"
            raise RuntimeError(msg)
        return f"{self.configuration.system_prompt}: {text}"


class World:
    """Opens bots, some of which fail, and counts them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.failing: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def open(self, configuration: AgentConfiguration) -> Bot:
        if self.gate is not None:
            await self.gate.wait()
        if configuration.agent_id in self.failing:
            raise ConnectionError
        self.opened.append(configuration.agent_id)
        return Bot(configuration)

    async def close(self, bot: Bot) -> None:
        await asyncio.sleep(0)
        assert bot.open, "closed once"
        bot.open = False
        self.closed.append(bot.configuration.agent_id)

    def loader(self, active: int = 3, total: int = 100, threshold: float = 0.7, **more: object) -> LazyAgentLoader[Bot]:
        return LazyAgentLoader(
            active,
            total,
            self.directory,
            threshold,
            open_agent=self.open,
            close_agent=self.close,
            clock=self.clock,
            **more,  # pyright: ignore[reportArgumentType] - its own
        )

    @asynccontextmanager
    async def loading(self, *ids: str, active: int = 3, **more: object) -> AsyncIterator[LazyAgentLoader[Bot]]:
        async with self.loader(active, **more) as loader:  # pyright: ignore[reportArgumentType] - its own
            for agent_id in ids:
                await loader.add_agent_configuration(AgentConfiguration(agent_id, system_prompt=agent_id))
            yield loader


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_an_agent_is_opened_on_its_first_use_and_reused(world: World) -> None:
    """However many ask at once."""
    async with world.loading("a", "b") as loader:
        assert world.opened == []
        found = await asyncio.gather(*(loader.get_agent("a") for _ in range(50)))
        async with await loader.get_agent("a") as bot:
            assert await bot.run("hi") == "a: hi"

        assert world.opened == ["a"]
        assert len({id(one) for one in found}) == 1


async def test_an_agent_in_use_is_not_closed_when_it_is_evicted(world: World) -> None:
    """It is closed once its last caller lets go of it, and not opened again for one who asks meanwhile."""
    async with world.loading(*"abcd", active=1) as loader:
        held = await loader.get_agent("a")
        for agent_id in "bcd":
            await loader.get_agent(agent_id)
        await eventually(lambda: len(world.closed) == 2)
        assert await held.agent.run("still") == "a: still"
        assert await loader.get_agent("a") is held
        assert world.opened == ["a", "b", "c", "d"]

        await loader.get_agent("b")
        assert "a" not in world.closed
        del held
        await eventually(lambda: "a" in world.closed)


async def test_closing_the_loader_leaves_what_is_in_use(world: World) -> None:
    """The others are closed before it returns; nothing can be asked for after it."""
    loader = world.loader()
    for agent_id in "ab":
        await loader.add_agent_configuration(AgentConfiguration(agent_id))
    held = await loader.get_agent("a")
    await loader.get_agent("b")
    await loader.close()
    await loader.close()

    assert world.closed == ["b"]
    assert await held.agent.run("still")
    with pytest.raises(Conflict) as closed:
        await loader.get_agent("a")
    assert closed.value.code == "loader_closed"
    del held
    await eventually(lambda: world.closed == ["b", "a"])


async def test_a_changed_configuration_is_used_from_then_on(world: World) -> None:
    """Also by one who asks while the agent is being opened with the earlier one."""
    async with world.loading("a") as loader:
        world.gate = asyncio.Event()
        asking = asyncio.create_task(loader.get_agent("a"))
        await asyncio.sleep(0.05)
        await loader.add_agent_configuration(AgentConfiguration("a", system_prompt="new"))
        world.gate.set()
        await asking
        async with await loader.get_agent("a") as bot:
            assert await bot.run("hi") == "new: hi"


async def test_bad_input_changes_nothing(world: World) -> None:
    """Each with a code of its own and the fields that are wrong."""
    async with world.loading("a", total=1) as loader:
        with pytest.raises(InvalidInput) as wrong:
            await loader.add_agent_configuration(AgentConfiguration("../a", temperature=3, max_tokens=0, model_name=""))
        assert wrong.value.code == "invalid_configuration"
        assert set(wrong.value.fields) == {"/agent_id", "/temperature", "/max_tokens", "/model_name"}
        with pytest.raises(Conflict) as full:
            await loader.add_agent_configuration(AgentConfiguration("b"))
        assert full.value.code == "too_many_configurations"
        with pytest.raises(NotFound):
            await loader.get_agent("b")
        with pytest.raises(InvalidInput):
            await loader.get_agent("../../etc/passwd")
        with pytest.raises(NotFound):
            await loader.remove_agent_configuration("b")
        with pytest.raises(NotFound):
            await loader.preload_agents(["b"])
        assert (await loader.get_cache_metrics()).configurations == 1
    wrong_settings = [
        ("max_active_agents", {"active": 0}),
        ("max_total_configurations", {"total": -1}),
        ("preload_threshold", {"threshold": 1.1}),
        ("preload_threshold", {"threshold": float("nan")}),
        ("cleanup_interval", {"cleanup_interval": -1}),
        ("preload_share", {"preload_share": -0.1}),
        ("policy", {"policy": "mru"}),
        ("numbers/companion_share", {"numbers": LoaderNumbers(companion_share=2)}),
        ("numbers/retention_s", {"numbers": LoaderNumbers(retention_s=0)}),
        ("numbers/learning/weights", {"numbers": LoaderNumbers(learning=LearningRules((1, 1, 1)))}),
        ("numbers/learning/companions", {"numbers": LoaderNumbers(learning=LearningRules(companions=-1))}),
    ]
    for name, numbers in wrong_settings:
        with pytest.raises(InvalidInput) as invalid:
            world.loader(**numbers)  # pyright: ignore[reportArgumentType] - wrong on purpose
        assert (invalid.value.code, list(invalid.value.fields)) == ("invalid_setting", [f"/{name}"])


@pytest.mark.parametrize("text", ['{"v":1,"value":{"agent_id":"a', "", '{"v":9,"value":{"agent_id":"a"}}', b"\xff\xfe"])
async def test_a_file_that_cannot_be_read_is_set_aside_and_the_rest_loads(world: World, text: str | bytes) -> None:
    """A configuration, or the activity, that is cut off or of a later version is named; nothing of it is lost."""
    async with world.loading("a", "b") as loader:
        await loader.get_agent("b")
    data = text if isinstance(text, bytes) else text.encode()
    (place,) = world.directory.glob("configurations/*/a.json")
    place.write_bytes(data)
    (world.directory / "activity.json").write_bytes(data)
    async with world.loader() as loader:
        with pytest.raises(NotFound):
            await loader.get_agent("a")
        await loader.get_agent("b")
        metrics = await loader.get_cache_metrics()

        assert {Path(name).read_bytes() for name in metrics.set_aside} == {data}  # noqa: ASYNC240 - small files
        assert sorted(Path(name).name.split(".")[0] for name in metrics.set_aside) == ["a", "activity"]
        await loader.add_agent_configuration(AgentConfiguration("a"))
        await loader.get_agent("a")


async def test_what_was_used_is_preloaded_by_the_next_process(world: World) -> None:
    """The activity is kept; a failed use counts against its agent."""
    async with world.loading(*"abc") as loader:
        for _ in range(5):
            async with await loader.get_agent("a"):
                pass
        with pytest.raises(ZeroDivisionError):
            async with await loader.get_agent("b"):
                _ = 1 / 0
    async with world.loader() as loader:
        assert await loader.preload_agents() == ["a"]
        report = {one.agent_id: one for one in await loader.get_agent_activity_report()}
        assert (report["a"].active, report["a"].success_rate, report["b"].success_rate) == (True, 1, 0)
        await loader.get_agent("a")
        metrics = await loader.get_cache_metrics()
        assert (metrics.hits, metrics.misses, metrics.preloaded, metrics.preloads_used) == (1, 0, 1, 1)
        assert (metrics.hit_rate, metrics.utilization, metrics.load_efficiency) == (1, 1 / 3, 1)

    world.clock.move(seconds=timedelta(days=31).total_seconds())
    async with world.loader() as loader:
        assert await loader.get_agent_activity_report() == []


async def test_its_numbers_can_be_set(world: World) -> None:
    """How long an agent may be unused and is known, and which are companions."""
    numbers = LoaderNumbers(
        learning=LearningRules(companions=0), inactive_after_s=60, retention_s=120, unused_after_s=30, known=1
    )
    async with world.loading("a", "b", numbers=numbers) as loader:
        assert await loader.preload_agents(["b"]) == ["b"]
        await loader.get_agent("a", user="ann")
        await loader.get_agent("b", user="ann")
        assert all(not one.companions for one in await loader.get_agent_activity_report())
        world.clock.move(seconds=61)
        assert sorted(step.key[1] for step in (await loader.optimize_cache()).evictions) == ["a", "b"]
        world.clock.move(seconds=60)
        assert await loader.get_agent_activity_report() == []


async def test_what_was_preloaded_stays_until_it_was_not_used_for_a_day(world: World) -> None:
    """Also where it was never used at all, and optimising finds nothing known of it."""
    async with world.loading("a", "b") as loader:
        assert await loader.preload_agents(["a"]) == ["a"]
        assert (await loader.optimize_cache()).steps == []
        world.clock.move(seconds=86_401)
        assert [(step.key[1], step.reason) for step in (await loader.optimize_cache()).steps] == [
            ("a", "unused_for_long")
        ]
        await eventually(lambda: world.closed == ["a"])


async def test_a_companion_is_open_before_it_is_asked_for(world: World) -> None:
    """Once one user has used the two in turn."""
    async with world.loading("plan", "write") as loader:
        for agent_id in ("plan", "write"):
            await loader.get_agent(agent_id, user="ann")
    world.opened.clear()
    async with world.loader() as loader:
        await loader.get_agent("plan", user="bob")
        await eventually(lambda: world.opened == ["plan", "write"])
        await eventually(lambda: len(loader._cache) == 2)
        await loader.get_agent("write", user="bob")
        assert (await loader.get_cache_metrics()).preloads_used == 1


async def test_a_preload_waits_for_what_somebody_waits_for_and_evicts_nothing(world: World) -> None:
    """Full is full; and an agent that fails costs no other its preload."""
    async with world.loading(*"abcd", active=2) as loader:
        world.gate = asyncio.Event()
        asking = asyncio.create_task(loader.get_agent("a"))
        await eventually(lambda: bool(loader._opening))
        preloading = asyncio.create_task(loader.preload_agents(["b", "c"]))
        await asyncio.sleep(0.05)
        assert list(loader._opening) == ["a"]
        world.gate.set()
        await asking
        assert await preloading == ["b"]
        assert world.opened == ["a", "b"]


async def test_optimising_says_what_it_would_do_and_does_it(world: World) -> None:
    """What is used most comes, and one that is used less makes room for it."""
    async with world.loading("idle", "hot", active=1) as loader:
        await loader.get_agent("idle")
        await loader.get_cache_metrics()
        world.clock.move(seconds=timedelta(days=2).total_seconds())
        for _ in range(3):
            await loader.get_agent("hot")
        loader._cache.drop("hot")
        loader._preloads.allowance = Allowance(2, 2)
        await loader.preload_agents(["idle"])

        wanted = [("evict", ("", "idle"), "low_priority"), ("preload", ("", "hot"), "high_priority")]
        plan = await loader.optimize_cache(dry_run=True)
        assert [(step.action, step.key, step.reason) for step in plan.steps] == wanted
        assert list(loader._cache) == ["idle"]
        await loader.optimize_cache()
        assert list(loader._cache) == ["hot"]


steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "get",
                "get",
                "get",
                "hold",
                "release",
                "add",
                "remove",
                "preload",
                "optimise",
                "crash",
                "restart",
                "later",
                "break",
            ]
        ),
        st.sampled_from("abcdef"),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps, active=st.integers(1, 3))
def test_whatever_is_done_in_whatever_order(  # noqa: C901 - one branch for each step
    steps: list[tuple[str, str]], active: int
) -> None:
    """Configurations are as they were last written, never too many are held, and nobody's agent is closed."""

    async def play(directory: Path) -> None:  # noqa: C901 - one branch for each step
        world, known, held = World(directory), dict[str, str](), dict[str, ActiveAgent[Bot]]()
        loader = world.loader(active)
        for number, (what, agent_id) in enumerate(steps):
            try:
                match what:
                    case "get" | "hold":
                        found = await loader.get_agent(agent_id, user=number % 2)
                        assert await found.agent.run("x") == f"{known[agent_id]}: x"
                        if what == "hold":
                            held[agent_id] = found
                        del found
                    case "release":
                        held.pop(agent_id, None)
                    case "add":
                        await loader.add_agent_configuration(AgentConfiguration(agent_id, system_prompt=f"{number}"))
                        known[agent_id] = f"{number}"
                    case "remove":
                        await loader.remove_agent_configuration(agent_id)
                        del known[agent_id]
                    case "preload":
                        await loader.preload_agents([agent_id])
                    case "optimise":
                        await loader.optimize_cache()
                    case "crash":
                        loader = world.loader(active)
                    case "restart":
                        await loader.close()
                        loader = world.loader(active)
                    case "later":
                        world.clock.move(seconds=90_000)
                    case _:
                        world.failing ^= {agent_id}
            except NotFound:
                assert agent_id not in known
            except ConnectionError:
                assert agent_id in world.failing
            assert len(loader._cache) <= active
            for one in held.values():
                await one.agent.run("still open")
            metrics = await loader.get_cache_metrics()
            assert metrics.configurations == len(known)
            assert not metrics.set_aside
        held.clear()
        await loader.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(play(Path(directory)))


KILLED = """
import asyncio, itertools, sys
from lifecycle import AgentConfiguration, LazyAgentLoader

async def open_agent(configuration):
    return configuration

async def main():
    loader = LazyAgentLoader(5, 100_000, sys.argv[1], cleanup_interval=0.01, open_agent=open_agent)
    for number in itertools.count():
        name = f"a{number % 40}"
        await loader.add_agent_configuration(AgentConfiguration(name, system_prompt=str(number) * 2000))
        print(number, flush=True)
        await loader.get_agent(name)
        await loader._save()

asyncio.run(main())
"""


async def test_a_kill_at_any_moment_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """Killed six times amid its writes: every configuration that was added is whole, and so is the activity."""
    for round_ in range(6):
        process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=Path(lifecycle.__file__).parents[1],
        )
        assert process.stdout is not None
        last = -1
        for _ in range(3 + round_ * 12):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = int(rest[-1]) if rest and rest[-1].isdigit() and len(rest) > 1 else last
        async with LazyAgentLoader(50, 100_000, tmp_path, open_agent=_open_nothing) as loader:
            for number in range(max(0, last - 39), last + 1):
                agent = await loader.get_agent(f"a{number % 40}")
                text = agent.configuration.system_prompt
                assert len(text) % 2000 == 0
                assert int(text[: len(text) // 2000]) >= number
            assert not (await loader.get_cache_metrics()).set_aside


async def _open_nothing(configuration: AgentConfiguration) -> str:
    return configuration.agent_id


async def test_twenty_thousand_agents_through_fifty_places_leave_nothing_behind(tmp_path: Path) -> None:
    """No agent, socket, task or other object more than after the first thousands.

    Objects are counted, not the process's memory: what the allocator keeps for later is no leak.
    """
    connections = served = 0
    opened: weakref.WeakSet[Connected] = weakref.WeakSet()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, served
        connections, served = connections + 1, served + 1
        await reader.read()
        connections -= 1

    class Connected(Bot):
        def __init__(self, configuration: AgentConfiguration, writer: asyncio.StreamWriter | None) -> None:
            super().__init__(configuration)
            self.writer = writer
            self.task = asyncio.create_task(asyncio.Event().wait())

    async def open_agent(configuration: AgentConfiguration) -> Connected:
        writer = None
        if int(configuration.agent_id[1:]) % 8 == 0:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.add(agent := Connected(configuration, writer))
        return agent

    async def close_agent(agent: Connected) -> None:
        agent.task.cancel()
        if agent.writer is not None:
            await hang_up(agent.writer)

    async with listening(serve) as port:
        loader = LazyAgentLoader(50, 1000, tmp_path, open_agent=open_agent, close_agent=close_agent, preload_share=0)
        for number in range(400):
            await loader.add_agent_configuration(AgentConfiguration(f"a{number}"))
        blocks: list[int] = []
        for begin in range(0, 20_000, 40):
            await asyncio.gather(*(loader.get_agent(f"a{number % 400}") for number in range(begin, begin + 40)))
            if begin in (5_000, 19_960):
                await eventually(lambda: len(opened) == 50)
                await eventually(lambda: connections == sum(agent.writer is not None for agent in opened))
                await eventually(lambda: len(asyncio.all_tasks()) <= len(opened) + connections + 5)
                gc.collect()
                blocks.append(sys.getallocatedblocks())
                assert len(loader._cache) == 50
        metrics = await loader.get_cache_metrics()
        await loader.close()
        await eventually(lambda: connections == 0)

    assert metrics.loads == 20_000
    assert served == 20_000 // 8
    assert blocks[1] - blocks[0] < 15_000, "less than one object for each of the 15,000 agents that went through"
    assert len(asyncio.all_tasks()) == 1


async def test_errors_of_the_app_and_of_agents_reach_the_caller(world: World) -> None:
    """What opening raises is not hidden, and is tried again by the next caller."""
    async with world.loading("a") as loader:
        world.failing = {"a"}
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await loader.get_agent("a")
        world.failing = set()
        assert (await loader.get_agent("a")).agent.open
        assert (await loader.get_cache_metrics()).load_efficiency == 1 / 3


async def test_files_that_cannot_be_written_are_an_error_with_a_code(world: World) -> None:
    """The directory is a file: nothing can be added, and the error says so without a stack."""
    world.directory = world.directory / "file"
    world.directory.write_text("")
    loader = world.loader()
    with pytest.raises(AppError) as failed:
        await loader.add_agent_configuration(AgentConfiguration("a"))

    assert failed.value.code == "files_unavailable"
    await loader.close()
