"""The app in memory with a support team, for tests of whole conversations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bootstrap.services import Services
from kernel.ids import new_id
from kernel.tables import Tables
from lifecycle.conversations.run import Run
from lifecycle.conversations.run_request import RunRequest
from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.team import Team
from lifecycle.teams.person_actions import Caller
from tests.lifecycle.app import App
from tests.lifecycle.doubles import spec
from tests.lifecycle.teams.kit import team

ANN = Caller("ann@example.com")
BOB = Caller("bob@example.com")
EVE = Caller("eve@example.com")


def speaks(name: str, **more: Any) -> AgentSpec:
    """Return an agent that always says who it is."""
    return spec(simulate={"reply": f"{name} speaking", **more})


def hands_over(name: str, target: str, **more: Any) -> AgentSpec:
    """Return an agent whose model hands over before anything else."""
    return speaks(name, call_tool=f"handoff_to_{target}", **more)


class TeamApp(App):
    """The app with a team of the name `support`."""

    async def found(self, value: Team | None = None, specs: Mapping[str, AgentSpec] | None = None) -> None:
        """Declare the agents of a team, and the team."""
        value = value or team()
        for agent in value.agents:
            await self.declare(agent, (specs or {}).get(agent) or speaks(agent))
        await self.services.teams.store.put("default", "support", value)

    async def asked(
        self, query: str = "hello", *, run_id: str | None = None, worker: Services | None = None, **more: Any
    ) -> Run:
        """Submit a run to the team, and return it as it is then."""
        request = RunRequest(query=query, **more)
        services = worker or self.services
        accepted = await services.runs.submission.submit_to_team(
            "default", "support", request, run_id or new_id(), self.signals, self.queue.send
        )
        return accepted.run

    async def drained(self, run: Run, since: int = 0) -> Run:
        """Deliver every message there is, and return the run."""
        for message in self.queue.sent[since:]:
            await self.deliver(message)
        return (await self.stored(run))[0]

    async def answered(self, query: str = "hello", **more: Any) -> Run:
        """Submit a run to the team, deliver it, and return what it came to."""
        since = len(self.queue.sent)
        return await self.drained(await self.asked(query, **more), since)

    async def loads(self) -> dict[str, int]:
        """Return how many conversations each member holds, having looked at every one."""
        counts: dict[str, int] = {}
        for seat in await self.services.teams.seats.exact("default", "support"):
            counts[seat.member] = counts.get(seat.member, 0) + 1
        return counts


def path(run: Run) -> list[str]:
    """Return the members that a run went on to, in order."""
    hops = run.team.hops if run.team else ()
    return [hop.target for hop in hops]


async def team_app(
    tables: Tables | None = None, value: Team | None = None, extensions: str = "", **specs: AgentSpec
) -> TeamApp:
    """Return the app with a team, whose agents are as the specs say, by name."""
    app = TeamApp(tables, EXTENSIONS=extensions)
    await app.found(value, specs)
    return app
