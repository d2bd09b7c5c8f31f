"""What an agent's actor does at the provider: the effects that the rules decide on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentRecord, Intent
from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True)
class Provision:
    """Find or create the version for `spec`, and have the provider run it."""

    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class MakePinnedVersion:
    """Find or create a version for `spec` beside the current one."""

    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Inspect:
    """Look whether the version is there as it was made from `spec`, and whether others of the same spec are."""

    version: ProviderVersion
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Have the provider no longer run the agent, and archive the definitions of these versions."""

    versions: Sequence[ProviderVersion]


@dataclass(frozen=True, slots=True)
class Deprovision:
    """Delete these versions, and what the intents may have left."""

    spec: AgentSpec
    versions: Sequence[ProviderVersion]
    intents: Sequence[Intent]


@dataclass(frozen=True, slots=True)
class Discard:
    """Archive and delete these versions, whatever else the agent has; those that are not ours stay."""

    versions: Sequence[ProviderVersion]


Effect = Provision | MakePinnedVersion | Inspect | Deactivate | Deprovision | Discard


@dataclass(frozen=True, slots=True)
class Decision:
    """The record to write, and what to do at the provider afterwards (None: nothing).

    The operation counts as applied once the last effect is settled; without an effect, at once.
    """

    record: AgentRecord
    effect: Effect | None = None
