"""Carries out the effects of an agent's actor at the providers, and returns the resulting record."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from kernel.errors import ProviderRejected
from lifecycle.registry.actor_effects import (
    Deactivate,
    Decision,
    Deprovision,
    Discard,
    Effect,
    Inspect,
    MakePinnedVersion,
    Provision,
)
from lifecycle.registry.actor_operations import Operation, Trim
from lifecycle.registry.effect_outcomes import (
    deactivated,
    deprovisioned,
    discarded,
    inspected,
    pinned_version_made,
    provisioned,
)
from lifecycle.registry.life_cycle_rules import deactivate, provision
from lifecycle.registry.providers import Providers, ProviderVersion, VersionRequest
from lifecycle.registry.record import AgentRecord, same
from lifecycle.specs.spec import AgentSpec, fingerprint, provider_name

if TYPE_CHECKING:
    from kernel.clock import Clock
    from lifecycle.registry.agent_history import AgentHistory

log = logging.getLogger(__name__)

_LOST = frozenset({"unknown_provider", "provider_not_configured"})
"""Codes of a provider that this app had and has no more: its extension is not loaded, or its settings are gone."""


class ProviderEffects:
    """Carries out effects. All are idempotent: what was done before is found done."""

    def __init__(self, providers: Providers, history: AgentHistory, *, owner: str, clock: Clock) -> None:
        self._providers = providers
        self._history = history
        self._owner = owner
        self._clock = clock

    async def execute(self, record: AgentRecord, operation: Operation, effect: Effect) -> Decision:
        """Carry out the effect, and return the record after it with the next effect.

        Raises:
            AppError: The provider refused, or could not be reached; the effect may be partly done.
        """
        match effect:
            case Provision(spec):
                version, adopted, strays = await self._find_or_create(record, spec)
                ready = provisioned(record, operation, version, self._clock(), adopted=adopted)
                return _then_discard(ready, strays)
            case MakePinnedVersion(spec):
                version, adopted, strays = await self._find_or_create(record, spec)
                return _then_discard(
                    pinned_version_made(record, operation, version, self._clock(), adopted=adopted), strays
                )
            case Inspect(version, spec):
                return await self._inspected(record, operation, version, spec)
            case Deactivate(versions):
                off = await self._switched_off(record)
                for version in versions:
                    with _unless_lost():
                        await self._archive(record, version)
                away = deactivated(record, operation, versions, self._clock(), off)
                return deactivate(away, operation, self._clock())
            case Deprovision():
                await self._deprovision(record, effect)
                return Decision(deprovisioned(record, operation, effect.versions, self._clock()))
            case Discard(versions):
                await self._delete_each(record, versions, archive=True)
                why = operation.why if isinstance(operation, Trim) else ""
                return Decision(discarded(record, operation, versions, self._clock(), why))

    async def _find_or_create(
        self, record: AgentRecord, spec: AgentSpec
    ) -> tuple[ProviderVersion, bool, Sequence[ProviderVersion]]:
        """Find or create the version; return it, whether it was found, and duplicates of ours that no record has."""
        provider, wanted = self._providers[spec.provider], self._wanted(record, fingerprint(spec), spec)
        if spec.provider in record.off:
            await provider.enable(wanted.name)
        found = await self._copies(spec.provider, wanted)
        if not found:
            made = replace(await provider.create(wanted), provider=spec.provider, fingerprint=wanted.fingerprint)
            _log(record, "agent.created", made)
            return made, False, ()
        version = next((copy for copy in found if _holds(record, copy)), found[0])
        _log(record, "agent.reused" if _holds(record, version) else "agent.adopted", version)
        return version, True, _strays(record, found, version)

    async def _inspected(
        self, record: AgentRecord, operation: Operation, version: ProviderVersion, spec: AgentSpec
    ) -> Decision:
        intact = await self._providers[version.provider].exists(version)
        after = inspected(record, operation, version, self._clock(), intact=intact)
        if not intact:
            _log(record, "agent.version_gone", version)
            return provision(after, spec, self._clock())
        copies = await self._copies(version.provider, self._wanted(record, fingerprint(spec), spec))
        return _then_discard(after, _strays(record, copies, version))

    async def _switched_off(self, record: AgentRecord) -> Sequence[str]:
        """Disable the agent at every provider where that is possible; return the providers where it is disabled."""
        name = provider_name(record.workspace, record.name)
        off: list[str] = []
        for provider in record.off:
            with _unless_lost():
                if await self._providers[provider].disable(name, self._owner):
                    off.append(provider)
        return off

    async def _archive(self, record: AgentRecord, version: ProviderVersion) -> None:
        definition = await self._providers[version.provider].definition(version)
        await self._history.archive(record.workspace, record.name, version, definition)

    async def _deprovision(self, record: AgentRecord, effect: Deprovision) -> None:
        await self._delete_each(record, effect.versions)
        for intent in effect.intents:
            wanted = self._wanted(record, intent.fingerprint, effect.spec)
            for stray in await self._copies(intent.provider, wanted):
                await self._delete(record, stray)
        for provider in record.off:
            # If the agent was restored meanwhile, it must not stay disabled at the provider.
            await self._providers[provider].enable(provider_name(record.workspace, record.name))

    async def _delete_each(
        self, record: AgentRecord, versions: Sequence[ProviderVersion], *, archive: bool = False
    ) -> None:
        """Delete the versions; those at a provider that is lost keep no others, and are left for when it is back.

        Raises:
            AppError: A provider could not be reached, or refused; or one is lost, after all others were deleted.
        """
        lost: ProviderRejected | None = None
        for version in versions:
            try:
                if archive:
                    await self._archive(record, version)
                await self._delete(record, version)
            except ProviderRejected as error:
                if error.code not in _LOST:
                    raise
                lost = lost or error
        if lost is not None:
            raise lost

    async def _delete(self, record: AgentRecord, version: ProviderVersion) -> None:
        await self._providers[version.provider].delete(version)
        _log(record, "agent.removed", version)

    async def _copies(self, provider: str, wanted: VersionRequest) -> Sequence[ProviderVersion]:
        """Return all our versions of the fingerprint, oldest first."""
        return [replace(copy, provider=provider) for copy in await self._providers[provider].find(wanted)]

    def _wanted(self, record: AgentRecord, made_from: str, spec: AgentSpec) -> VersionRequest:
        name = provider_name(record.workspace, record.name)
        return VersionRequest(self._owner, record.workspace, record.name, name, made_from, spec)


@contextmanager
def _unless_lost() -> Generator[None]:
    """Pass over a provider that is lost: what cannot be done there must not keep the rest from being done."""
    try:
        yield
    except ProviderRejected as error:
        if error.code not in _LOST:
            raise
        log.warning("agent not put away: %s", error.code, extra={"event": "agent.provider_lost"})


def _strays(
    record: AgentRecord, copies: Sequence[ProviderVersion], chosen: ProviderVersion
) -> Sequence[ProviderVersion]:
    return tuple(copy for copy in copies if not same(copy, chosen) and not _holds(record, copy))


def _holds(record: AgentRecord, version: ProviderVersion) -> bool:
    return any(same(version, other) for other in record.held)


def _then_discard(record: AgentRecord, strays: Sequence[ProviderVersion]) -> Decision:
    return Decision(record, Discard(strays) if strays else None)


def _log(record: AgentRecord, event: str, version: ProviderVersion) -> None:
    log.info("%s: %s version %s", event, record.name, version.version, extra={"event": event})
