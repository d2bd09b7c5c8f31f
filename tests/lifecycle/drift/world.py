"""A registry over a provider that others work in, too: what plans are made of in these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

from adapters.memory_tables import MemoryTables
from bootstrap.services import Services
from kernel.errors import AppError, ProviderRejected
from kernel.tables import Tables
from lifecycle.drift.plan_application import Plans, PlanStep
from lifecycle.registry.actor_operations import Operation
from lifecycle.registry.actor_signals import LocalSignals
from lifecycle.registry.providers import ProviderAgent, ProviderVersion, VersionRequest
from lifecycle.registry.record import AgentRecord
from lifecycle.specs.spec import fingerprint, provider_name
from tests.lifecycle.doubles import ManualClock, make_services, spec

OWNER = "us"


@dataclass
class Portal:
    """A provider in memory, and what people do in its portal. Versions are named as Foundry names them.

    Attributes:
        versions: What is there, by id.
        failing: Raised by every look at what is there; None for no failure.
        removed: Whose versions were deleted through the provider: their owner, and whether they were as made.
    """

    clock: ManualClock
    versions: dict[str, ProviderAgent] = field(default_factory=dict[str, ProviderAgent])
    failing: AppError | None = None
    removed: list[tuple[str | None, bool]] = field(default_factory=list[tuple[str | None, bool]])
    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def put(
        self,
        name: str,
        *,
        owner: str = "",
        made_from: str = "",
        workspace: str = "",
        agent: str = "",
        intact: bool = False,
    ) -> ProviderVersion:
        """Add a version, whoever makes it."""
        number = self.numbers[name] = self.numbers.get(name, 0) + 1
        version = ProviderVersion(name, str(number), f"{name}:{number}", self.clock(), "", owner, made_from)
        self.versions[version.id] = ProviderAgent(version, workspace, agent, intact)
        return version

    def edit(self, name: str, *, keep_mark: bool = False) -> ProviderVersion:
        """Do as a person who changes the agent in the portal: a new version, which may carry our mark along."""
        latest = max(self.of(name), key=lambda found: int(found.version.version))
        if not keep_mark:
            return self.put(name)
        mark = latest.version
        return self.put(
            name, owner=mark.owner, made_from=mark.fingerprint, workspace=latest.workspace, agent=latest.agent
        )

    def spoil(self, version: ProviderVersion) -> None:
        """Change a version itself, as a provider might allow it."""
        self.versions[version.id] = replace(self.versions[version.id], intact=False)

    def of(self, name: str) -> list[ProviderAgent]:
        return [found for found in self.versions.values() if found.version.name == name]

    async def find(self, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        mark = (wanted.owner, wanted.fingerprint)
        found = [each for each in self.of(wanted.name) if each.intact]
        return [each.version for each in found if (each.version.owner, each.version.fingerprint) == mark]

    async def create(self, wanted: VersionRequest) -> ProviderVersion:
        return self.put(
            wanted.name,
            owner=wanted.owner,
            made_from=wanted.fingerprint,
            workspace=wanted.workspace,
            agent=wanted.agent,
            intact=True,
        )

    async def delete(self, version: ProviderVersion) -> None:
        found = self.versions.get(version.id)
        if found is not None and await self.exists(version):
            self.removed.append((found.owner, found.intact))
            del self.versions[version.id]

    async def exists(self, version: ProviderVersion) -> bool:
        found = self.versions.get(version.id)
        if found is None or not found.intact:
            return False
        return (found.version.owner, found.version.fingerprint) == (version.owner, version.fingerprint)

    async def inventory(self, owner: str) -> AsyncIterator[ProviderAgent]:
        if self.failing is not None:
            raise self.failing
        ours = {found.version.name for found in self.versions.values() if found.owner == owner}
        for found in [each for each in self.versions.values() if each.version.name in ours]:
            yield found

    async def definition(self, version: ProviderVersion) -> Mapping[str, Any] | None:
        return {} if await self.exists(version) else None

    async def disable(self, name: str, owner: str) -> bool:
        return False

    async def enable(self, name: str) -> None:
        return

    async def aclose(self) -> None:
        return


class World:
    """The registry's services over a portal, with actors that work when they are told."""

    def __init__(self, tables: Tables | None = None, workspace: str = "default") -> None:
        self.clock = ManualClock()
        self.tables = MemoryTables() if tables is None else tables
        self.workspace = workspace
        self.portal = Portal(self.clock)
        self.services = self.worker(self.tables)
        self.signals: LocalSignals = self.services.agents.local_signals()

    def stray(self, agent: str, instructions: str = "", workspace: str | None = None) -> ProviderVersion:
        """Add a version of ours that no actor tells of, made for the agent from a spec of these instructions."""
        where = self.workspace if workspace is None else workspace
        made_from = fingerprint(spec(provider="foundry", instructions=instructions))
        name = provider_name(where, agent)
        return self.portal.put(name, owner=OWNER, made_from=made_from, workspace=where, agent=agent, intact=True)

    async def redeclare(self, agent: str, **changes: Any) -> None:
        """Change a declaration without a word to the actor, as when the signal is lost."""
        declared = (await self.services.agents.catalog.get(self.workspace, agent)).declaration.spec
        await self.services.agents.catalog.declare(self.workspace, agent, declared.model_copy(update=changes))

    def worker(self, tables: Tables) -> Services:
        """Return other services over the same portal."""
        services = make_services(tables, self.clock, REGISTRY_OWNER=OWNER)
        services.agents.__dict__["providers"] = {"foundry": cast("Any", self.portal)}
        return services

    @property
    def plans(self) -> Plans:
        return self.services.drift.plans

    async def declare(self, name: str, instructions: str = "", *, ready: bool = True, **fields: Any) -> None:
        """Declare an agent, and have it made unless told otherwise."""
        declared = spec(provider="foundry", instructions=instructions, **fields)
        await self.services.agents.administration.declare(self.workspace, name, declared, self.signals)
        if ready:
            await self.services.agents.administration.prewarm(self.workspace, name, self.signals)

    async def record(self, name: str) -> AgentRecord:
        record = (await self.services.agents.catalog.get(self.workspace, name)).record
        assert record is not None
        return record

    def name(self, agent: str) -> str:
        return provider_name(self.workspace, agent)

    async def steps(self, plan_id: str | None = None) -> list[PlanStep]:
        """Return every line of a plan; of a new one unless its id is given."""
        stored = await (self.plans.find(self.workspace, plan_id) if plan_id else self.plans.make(self.workspace))
        return list(await self.plans.steps(stored, 0, stored.lines or 1))

    async def told(self) -> list[tuple[str, str, str]]:
        """Return agent, kind and action of every line of a new plan."""
        return [(step.line.agent, step.line.kind.value, step.line.action.value) for step in await self.steps()]

    async def apply(
        self, plan_id: str, *, only: Sequence[int] | None = None, destructive: bool = False, signals: Any = None
    ) -> list[str]:
        """Apply a plan, or some of its lines, and return the outcomes."""
        _, steps = await self.plans.apply(
            self.workspace, plan_id, signals or self.signals, only=only, destructive=destructive
        )
        return [step.outcome.value for step in steps]

    async def settle(self) -> list[tuple[str, str, str]]:
        """Plan and apply everything, and return what a new plan still tells."""
        stored = await self.plans.make(self.workspace)
        await self.apply(stored.id, destructive=True)
        return await self.told()

    def wait(self, **by: float) -> None:
        self.clock.now += timedelta(**by)


@dataclass
class Held:
    """Signals that are accepted and not delivered yet."""

    sent: list[tuple[str, str, Operation]] = field(default_factory=list[tuple[str, str, Operation]])

    async def send(self, workspace: str, name: str, operation: Operation) -> None:
        self.sent.append((workspace, name, operation))


def unconfigured() -> AppError:
    return ProviderRejected("no project", code="provider_not_configured")
