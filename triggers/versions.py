"""HTTP: agents' versions, what sessions are pinned to, and audit trails."""

from __future__ import annotations

from bootstrap.services import Services
from kernel.ids import agent_name, newest_first_key
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, page_token
from triggers.sessions import FOR_USER, visible_session
from triggers.views.agents import AgentView
from triggers.views.base import Page
from triggers.views.sessions import SessionView
from triggers.views.versions import AgentVersionView, RollBack, StepView


class VersionPage(Page[AgentVersionView]):
    """An agent's versions, newest first."""


class TrailPage(Page[StepView]):
    """What happened to an agent, newest first."""


def register(api: Api, services: Services) -> None:
    """Add the endpoints of versions."""

    @api.handle(
        Endpoint(
            "GET",
            "agents/{name}/versions",
            "agents_versions",
            "List an agent's versions at its provider, newest first, and why each is kept.",
            returns=VersionPage,
            errors=(404,),
        )
    )
    async def versions(call: Call) -> Reply:
        held = await services.versions.held(call.workspace, agent_name(call.route("name")))
        return Reply(VersionPage(items=[AgentVersionView.from_held(each) for each in held], next=None))

    @api.handle_with_signals(
        Endpoint(
            "POST",
            "agents/{name}/rollback",
            "agents_rollback",
            "Declare an earlier spec of an agent again, by its version or revision; forward is the same.",
            body=RollBack,
            returns=AgentView,
            errors=(404, 409, 412),
        )
    )
    async def roll_back(call: Call) -> Reply:
        name, wanted = agent_name(call.route("name")), call.body
        if wanted.revision is not None:
            spec = await services.versions.declared_as(call.workspace, name, wanted.revision)
        else:
            spec = await services.versions.made_from(call.workspace, name, wanted.version)
        agent = await services.administration.roll_back(
            call.workspace, name, spec, call.signals, call.header("if-match"), by=call.caller
        )
        return Reply(AgentView.from_agent(agent), headers={"ETag": agent.etag})

    @api.handle(
        Endpoint(
            "GET",
            "agents/{name}/audit",
            "agents_audit",
            "Tell what happened to an agent, newest first; of a deleted one, too.",
            returns=TrailPage,
            query=PAGING,
            errors=(404,),
        )
    )
    async def audit(call: Call) -> Reply:
        name = agent_name(call.route("name"))
        lines, after = await services.versions.trail(call.workspace, name, call.limit(), call.cursor(newest_first_key))
        return Reply(TrailPage(items=[StepView.of(line) for line in lines], next=page_token(after)))

    @api.handle(
        Endpoint(
            "POST",
            "sessions/{id}/unpin",
            "sessions_unpin",
            "Let a session that is pinned to a version go on with the agent as it is declared.",
            returns=SessionView,
            query=FOR_USER,
            errors=(404, 409),
        )
    )
    async def unpin(call: Call) -> Reply:
        found = await visible_session(services, call)
        session = await services.pins.unpin(call.workspace, found.id)
        return Reply(SessionView.of(session))
