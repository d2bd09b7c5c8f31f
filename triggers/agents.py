"""HTTP: agents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.ids import agent_name
from lifecycle.configuration.layers import AgentConfig
from triggers.api import Endpoint, Reply, page_token
from triggers.views.agents import AgentStatsView, AgentView, PruneView, VerdictView
from triggers.views.base import Page

if TYPE_CHECKING:
    from bootstrap.services import Services
    from lifecycle.registry.catalog import Agent
    from triggers.api import Api, Call


class AgentPage(Page[AgentView]):
    """Agents by name."""


_LONGEST_GRACE_S = 366 * 86400
PAGING = {"limit": "Items a page, 1-200; 50 unless given.", "next": "The `next` of the page before."}


def register(api: Api, services: Services) -> None:
    """Add the endpoints of agents."""
    _register_reading(api, services)
    _register_commands(api, services)

    @api.handle_with_signals(
        Endpoint(
            "PUT",
            "agents/{name}",
            "agents_declare",
            "Declare an agent: create it, or change what it is composed of. Declaring the same again changes nothing.",
            body=AgentConfig,
            returns=AgentView,
            also=201,
            errors=(412,),
        )
    )
    async def declare(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        if_match = call.header("if-match")
        agent, new = await services.administration.declare(
            call.workspace, name, call.body, call.signals, if_match, by=call.caller
        )
        headers = {"ETag": agent.etag} | ({"Location": f"/api/agents/{name}"} if new else {})
        return Reply(AgentView.from_agent(agent), 201 if new else 200, headers)

    @api.handle_with_signals(
        Endpoint(
            "DELETE",
            "agents/{name}",
            "agents_delete",
            "Delete an agent and what is ours of it at the provider. Its sessions and costs stay.",
            status=204,
            errors=(404, 412),
        )
    )
    async def delete(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        if_match = call.header("if-match")
        await services.administration.delete(call.workspace, name, call.signals, if_match, call.caller)
        return Reply(status=204)


def _register_reading(api: Api, services: Services) -> None:
    @api.handle(Endpoint("GET", "agents", "agents_list", "List agents by name.", returns=AgentPage, query=PAGING))
    async def listing(call: Call) -> Reply:
        agents, after = await services.catalog.list(call.workspace, call.limit(), call.cursor(agent_name))
        return Reply(AgentPage(items=[AgentView.from_agent(agent) for agent in agents], next=page_token(after)))

    @api.handle(Endpoint("GET", "agents/{name}", "agents_get", "Get an agent.", returns=AgentView, errors=(404,)))
    async def get(call: Call) -> Reply:
        agent = await services.catalog.get(call.workspace, agent_name(call.route("name")))
        return Reply(AgentView.from_agent(agent), headers={"ETag": agent.etag})

    @api.handle(
        Endpoint(
            "GET", "agents/{name}/stats", "agents_stats", "How an agent is used.", returns=AgentStatsView, errors=(404,)
        )
    )
    async def stats(call: Call) -> Reply:
        return Reply(
            AgentStatsView.from_agent(await services.catalog.get(call.workspace, agent_name(call.route("name"))))
        )


def _register_commands(api: Api, services: Services) -> None:

    def command(verb: str, summary: str, errors: tuple[int, ...], query: Mapping[str, str] | None = None) -> Endpoint:
        path, operation = f"agents/{{name}}/{verb}", f"agents_{verb}"
        return Endpoint(
            "POST", path, operation, summary, returns=AgentView, status=202, errors=errors, query=query or {}
        )

    @api.handle_with_signals(command("prewarm", "Make an agent ready before its first run.", (404, 409)))
    async def prewarm(call: Call) -> Reply:
        return _accepted(
            await services.administration.prewarm(call.workspace, agent_name(call.route("name")), call.signals)
        )

    @api.handle_with_signals(
        command(
            "retire",
            "Put an agent away at its provider, keeping its spec; its next run restores it.",
            (404, 409),
            {"grace_s": "Seconds until its versions are deleted, 0 for at once; PRUNE_GRACE_S unless given."},
        )
    )
    async def retire(call: Call) -> Reply:
        name, grace = agent_name(call.route("name")), _seconds(call, "grace_s")
        return _accepted(
            await services.administration.retire(call.workspace, name, call.signals, grace, by=call.caller)
        )

    @api.handle_with_signals(command("restore", "Bring a retired or failed agent back.", (404, 409)))
    async def restore(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        return _accepted(await services.administration.restore(call.workspace, name, call.signals, call.caller))

    @api.handle_with_signals(
        command("verify", "Look whether an agent is at its provider as it was made, and make it again if not.", (404,))
    )
    async def verify(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        return _accepted(await services.administration.verify(call.workspace, name, call.signals, call.caller))

    @api.handle_with_signals(
        command("disable", "Switch an agent off: its runs are refused until it is enabled.", (404,))
    )
    async def disable(call: Call) -> Reply:
        return _accepted(await _switch(services, call, enabled=False))

    @api.handle_with_signals(command("enable", "Switch an agent on again.", (404,)))
    async def enable(call: Call) -> Reply:
        return _accepted(await _switch(services, call, enabled=True))

    @api.handle_with_signals(
        Endpoint(
            "POST",
            "prune",
            "agents_prune",
            "Judge what is due, and retire idle agents and delete superseded versions unless it is a dry run.",
            returns=PruneView,
            query={"dry_run": "`true` (default) only says what would happen; `false` does it."},
        )
    )
    async def prune(call: Call) -> Reply:
        dry_run = _flag(call, "dry_run", default=True)
        plan = services.prune.plan(call.workspace) if dry_run else services.prune.run(call.signals, call.workspace)
        return Reply(PruneView(dry_run=dry_run, items=[VerdictView.of(verdict) for verdict in await plan]))


def _accepted(agent: Agent) -> Reply:
    return Reply(AgentView.from_agent(agent), 202, {"Location": f"/api/agents/{agent.name}"})


def _flag(call: Call, name: str, *, default: bool) -> bool:
    text = call.query(name)
    if text not in (None, "true", "false"):
        raise InvalidInput(f"'{name}' is true or false.", code="invalid_flag", fields={name: "true or false"})
    return default if text is None else text == "true"


def _seconds(call: Call, name: str) -> timedelta | None:
    text = call.query(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= _LONGEST_GRACE_S):
        rule = f"a number of seconds from 0 to {_LONGEST_GRACE_S}"
        raise InvalidInput(f"'{name}' is {rule}.", code="invalid_seconds", fields={name: rule})
    return timedelta(seconds=int(text))


async def _switch(services: Services, call: Call, *, enabled: bool) -> Agent:
    name = agent_name(call.route("name"))
    return await services.administration.switch(call.workspace, name, call.signals, enabled=enabled, by=call.caller)
