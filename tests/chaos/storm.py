"""A chaos run: a plan carried out against the real stack, then checked; a failure shows its seed and its timeline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from tests.chaos.checks import BrokenError, Checks, raise_budget
from tests.chaos.load import Accepted, Clients, Producer
from tests.chaos.plan import AGENTS, Fault, Plan
from tests.chaos.world import ChaosStack, LossyProxy, Timeline
from tests.connections import close_forgotten_streams
from tests.e2e.support import Api
from tests.waiting import eventually

HTTP_LOSS, TABLES_LOSS = 0.04, 0.004
"""Share of the answers that are lost."""


async def storm(plan: Plan, *, stop_faults: bool = False) -> Timeline:
    """Carry a plan out and check what came of it.

    Args:
        plan: The plan.
        stop_faults: Whether nothing goes wrong, to see that the checks hold in calm weather.

    Raises:
        AssertionError: Something does not hold; the message has the seed, the timeline and what is known of the runs.
    """
    timeline, rng = Timeline(), random.Random(plan.seed)
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        stack = ChaosStack(Path(directory), timeline, rng)
        async with AsyncExitStack() as parts:
            parts.push_async_callback(close_forgotten_streams)
            tables = LossyProxy("tables", lambda: stack.azurite.table_port, rng, timeline)
            http = LossyProxy("the API", lambda: int(stack.host.url.rpartition(":")[2]), rng, timeline)
            stack.tables_port = await parts.enter_async_context(tables.listening())
            await asyncio.to_thread(parts.enter_context, stack)  # the host starts behind the proxy, which serves here
            session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30))
            parts.push_async_callback(session.close)
            url = f"http://127.0.0.1:{await parts.enter_async_context(http.listening())}"
            through = Api(session, stack, f"chaos-{plan.seed}", url)
            direct = Api(session, stack, f"chaos-{plan.seed}")
            accepted = Accepted(timeline)
            producer = Producer(stack)
            parts.push_async_callback(producer.aclose)
            checks = Checks(direct, Clients(direct, producer, accepted), accepted)
            try:
                clients = Clients(through, producer, accepted)
                for name, spec in AGENTS.items():
                    await clients.call("PUT", f"agents/{name}", {"model": "gpt-4o"} | spec, good=(200, 201))
                await raise_budget(clients)
                if not stop_faults:
                    http.share, tables.share = HTTP_LOSS, TABLES_LOSS
                await _weather(plan if not stop_faults else Plan(plan.seed, plan.talks, ()), stack, clients, checks)
                http.share = tables.share = 0.0
                timeline.note(f"calm: {accepted.count} runs, {http.lost} + {tables.lost} answers lost")
                await checks.all()
                timeline.note("everything holds")
            except* AssertionError as broken:
                raise AssertionError(await _explained(plan, timeline, stack, direct, broken)) from None
    return timeline


async def _weather(plan: Plan, stack: ChaosStack, clients: Clients, checks: Checks) -> None:
    accepted = clients.accepted
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(checks))
        async with asyncio.TaskGroup() as talking:
            for talk in plan.talks:
                talking.create_task(clients.talk(talk))
            talking.create_task(_faults(plan.faults, stack, clients, accepted))
        watching.cancel()


async def _faults(faults: tuple[Fault, ...], stack: ChaosStack, clients: Clients, accepted: Accepted) -> None:
    for fault in faults:
        await eventually(lambda f=fault: accepted.count >= f.after, progress=lambda: accepted.count, what=fault.name)
        accepted.timeline.note(f"--- {fault.name}")
        if fault.name == "redeclare":
            spec = {"model": "gpt-4o"} | AGENTS["pinned"] | {"instructions": "As it is now."}
            await clients.call("PUT", "agents/pinned", spec)
        else:
            await getattr(stack, fault.name)()
        accepted.timeline.note(f"    {fault.name} is over")


async def _watch(checks: Checks) -> None:
    """Look again and again whether the budget holds, whatever happens."""
    while True:
        await checks.budget_holds()
        await asyncio.sleep(0.5)


async def _explained(
    plan: Plan, timeline: Timeline, stack: ChaosStack, api: Api, broken: BaseExceptionGroup[AssertionError]
) -> str:
    """Return everything that helps to understand a failure."""
    causes: list[BaseException] = [broken]
    for cause in causes:
        causes += cause.exceptions if isinstance(cause, BaseExceptionGroup) else ()
    found = [cause for cause in causes if not isinstance(cause, BaseExceptionGroup)]
    lines = [f"seed {plan.seed}: {cause}" for cause in found]
    lines += ["", f"Timeline (repeat with: make chaos ARGS='--seed {plan.seed} --runs {plan.runs}'):"]
    runs = [run for cause in found if isinstance(cause, BrokenError) for run in cause.runs][:3]
    sessions = [session for cause in found if isinstance(cause, BrokenError) for session in cause.sessions][:2]
    for run_id in runs:
        with contextlib.suppress(Exception):
            run = (await api.call("GET", f"runs/{run_id}")).json()
            sessions.append(run["session_id"])
            lines.append(f"run {json.dumps(run)}")
    for session_id in dict.fromkeys(sessions):
        with contextlib.suppress(Exception):
            export = (await api.call("GET", f"sessions/{session_id}/export")).json()
            lines.append(f"session {json.dumps(export['session'])}")
            lines += [f"  {event['at']} {event['name']} {json.dumps(event['data'])}" for event in export["events"]]
    log = stack.log().splitlines()
    of_interest = [line for line in log if any(name in line for name in (*runs, *sessions))]
    return "\n".join([*lines, *timeline.lines, "", "The host's log of these:", *of_interest[-200:], "", *log[-40:]])
