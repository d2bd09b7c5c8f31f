"""Handlers of agents."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import unquote

from kernel.errors import InvalidInput
from kernel.ids import agent_name, newest_first_key
from lifecycle.registry.catalog import Agent
from triggers.http.agents import LONGEST_GRACE_S
from triggers.http.agents.views import (
    AgentPage,
    AgentStatsView,
    AgentVersionView,
    AgentView,
    PruneView,
    StepView,
    TrailPage,
    VerdictView,
    VersionPage,
    VersionSpecView,
)
from triggers.http.handler_call import Call, Reply, page_token


def _accepted(agent: Agent) -> Reply:
    return Reply(AgentView.from_agent(agent), 202, {"Location": f"/api/agents/{agent.name}"})


def _seconds(call: Call, name: str) -> timedelta | None:
    text = call.query(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= LONGEST_GRACE_S):
        rule = f"a number of seconds from 0 to {LONGEST_GRACE_S}"
        raise InvalidInput(f"'{name}' is {rule}.", code="invalid_seconds", fields={name: rule})
    return timedelta(seconds=int(text))


async def _switch(call: Call, *, enabled: bool) -> Agent:
    name = agent_name(call.route("name"))
    return await call.services.agents.administration.switch(
        call.workspace, name, call.signals, enabled=enabled, by=call.caller
    )


async def agents_declare(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    if_match = call.header("if-match")
    agent, new = await call.services.agents.administration.declare(
        call.workspace, name, call.body, call.signals, if_match, by=call.caller
    )
    headers = {"ETag": agent.etag} | ({"Location": f"/api/agents/{name}"} if new else {})
    return Reply(AgentView.from_agent(agent), 201 if new else 200, headers)


async def agents_delete(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    if_match = call.header("if-match")
    await call.services.agents.administration.delete(call.workspace, name, call.signals, if_match, call.caller)
    return Reply(status=204)


async def agents_list(call: Call) -> Reply:
    agents, after = await call.services.agents.catalog.list(call.workspace, call.limit(), call.cursor(agent_name))
    return Reply(AgentPage(items=[AgentView.from_agent(agent) for agent in agents], next=page_token(after)))


async def agents_get(call: Call) -> Reply:
    agent = await call.services.agents.catalog.get(call.workspace, agent_name(call.route("name")))
    return Reply(AgentView.from_agent(agent), headers={"ETag": agent.etag})


async def agents_stats(call: Call) -> Reply:
    return Reply(
        AgentStatsView.from_agent(
            await call.services.agents.catalog.get(call.workspace, agent_name(call.route("name")))
        )
    )


async def agents_prewarm(call: Call) -> Reply:
    return _accepted(
        await call.services.agents.administration.prewarm(call.workspace, agent_name(call.route("name")), call.signals)
    )


async def agents_retire(call: Call) -> Reply:
    name, grace = agent_name(call.route("name")), _seconds(call, "grace_s")
    return _accepted(
        await call.services.agents.administration.retire(call.workspace, name, call.signals, grace, by=call.caller)
    )


async def agents_restore(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    return _accepted(await call.services.agents.administration.restore(call.workspace, name, call.signals, call.caller))


async def agents_verify(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    return _accepted(await call.services.agents.administration.verify(call.workspace, name, call.signals, call.caller))


async def agents_disable(call: Call) -> Reply:
    return _accepted(await _switch(call, enabled=False))


async def agents_enable(call: Call) -> Reply:
    return _accepted(await _switch(call, enabled=True))


async def agents_prune(call: Call) -> Reply:
    dry_run = call.flag("dry_run", default=True)
    plan = (
        call.services.agents.prune.plan(call.workspace)
        if dry_run
        else call.services.agents.prune.run(call.signals, call.workspace)
    )
    return Reply(PruneView(dry_run=dry_run, items=[VerdictView.of(verdict) for verdict in await plan]))


async def agents_versions(call: Call) -> Reply:
    held = await call.services.agents.versions.stored(call.workspace, agent_name(call.route("name")))
    return Reply(
        VersionPage(
            items=[AgentVersionView.of(each.version, each, pinned_sessions=each.pinned) for each in held], next=None
        )
    )


async def agents_version(call: Call) -> Reply:
    name, version = agent_name(call.route("name")), unquote(call.route("version"))
    spec = await call.services.agents.versions.made_from(call.workspace, name, version)
    return Reply(VersionSpecView(version=version, spec=spec))


async def agents_rollback(call: Call) -> Reply:
    name, wanted = agent_name(call.route("name")), call.body
    if wanted.revision is not None:
        spec = await call.services.agents.versions.declared_as(call.workspace, name, wanted.revision)
    else:
        spec = await call.services.agents.versions.made_from(call.workspace, name, wanted.version)
    agent = await call.services.agents.administration.roll_back(
        call.workspace, name, spec, call.signals, call.header("if-match"), by=call.caller
    )
    return Reply(AgentView.from_agent(agent), headers={"ETag": agent.etag})


async def agents_audit(call: Call) -> Reply:
    name = agent_name(call.route("name"))
    lines, after = await call.services.agents.versions.audit(
        call.workspace, name, call.limit(), call.cursor(newest_first_key)
    )
    return Reply(TrailPage(items=[StepView.of(line) for line in lines], next=page_token(after)))
