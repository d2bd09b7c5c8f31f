"""An agent whose tool moves money, and people who decide about it."""

from __future__ import annotations

import contextlib
from typing import Any

from bootstrap.services import Services
from kernel.errors import AppError
from lifecycle.approvals.approval import Person
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.store import Record
from lifecycle.conversations.run import Run, RunState
from lifecycle.specs.spec import AgentSpec
from lifecycle.tools.context import ToolContext
from lifecycle.tools.definition import tool
from tests.lifecycle.app import App, Gate
from tests.lifecycle.doubles import Fate, FatefulTables, make_services, spec

ANN = Person("ann@example.com", frozenset({"ann@example.com"}), frozenset({"finance"}))
BOB = Person("bob@example.com", frozenset({"bob@example.com"}))
APPROVE, REJECT = DecisionRequest("approve"), DecisionRequest("reject", "too much")


def asking(**rule: Any) -> AgentSpec:
    """Return an agent whose calculator needs an approval."""
    return spec(
        tools=("calculator",),
        simulate={"call_tool": "calculator"},
        approvals=[{"tools": ["calculator"], **rule}],
    )


async def waiting(app: App, query: str = "2 + 3", **more: Any) -> Run:
    """Return a run that waits for a decision."""
    await app.submit(query, **more)
    run = await app.process(app.queue.sent[-1])
    assert run.state is RunState.WAITING
    return run


async def decide(app: App, run: Run, ruling: DecisionRequest = APPROVE, person: Person = ANN) -> Run:
    """Decide all that the run waits for, and return it as it then comes out."""
    decisions = app.services.approvals.decisions
    for ident in run.dispatch.awaits:
        await decisions.decide(run.workspace, ident, person, ruling, app.queue.send)
    return await drained(app, run)


async def drained(app: App, run: Run, since: int = 0) -> Run:
    """Deliver every message there is, and return the run."""
    for message in app.queue.sent[since:]:
        with contextlib.suppress(AppError):
            await app.process(message)
    return (await app.stored(run))[0]


async def records(app: App, run: Run) -> list[Record]:
    return list(await app.services.approvals.store.of_run(run.workspace, run.id))


async def told(app: App, run: Run) -> list[str]:
    """Return the events of the run's approvals, in order."""
    events = await app.services.conversations.store.events(run.workspace, run.session_id, 0, 1000)
    return [event.name for _, event in events if event.name.startswith("approval.")]


class PayingApp(App):
    """An app whose agents can pay, which an idempotency key names; its payments can be struck like writes.

    Attributes:
        payments: The keys of the payments that were made, in order.
        repeats: Of each payment, whether the tool was told that it may have been made before.
        looks: What was looked at, which needs nobody.
    """

    def __init__(self, **settings: Any) -> None:
        self.payments: list[str] = []
        self.repeats: list[bool] = []
        self.looks: list[str] = []
        super().__init__(**settings)

    def worker(self, fate: Fate | None = None, model: Fate | None = None, gate: Gate | None = None) -> Services:
        services = make_services(
            self.tables if fate is None else FatefulTables(self.tables, fate), self.clock, **self.settings
        )

        async def pay(to: str, context: ToolContext) -> str:
            """Pay somebody."""

            async def made() -> None:
                self.payments.append(context.idempotency_key)
                self.repeats.append(context.repeated)

            await (fate.effect(made) if fate else made())
            return f"paid {to}"

        def look(at: str) -> str:
            """Look something up."""
            self.looks.append(at)
            return "looked"

        services.extensions.__dict__["tools"] = {"pay": tool(pay), "look": tool(look)}
        return services
