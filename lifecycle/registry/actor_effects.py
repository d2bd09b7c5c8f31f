"""Effects of an agent's actor at the provider, as decided by the rules."""

from __future__ import annotations

from collections.abc import Sequence

from kernel.lazy_dataclass import dataclass
from lifecycle.registry.providers import ProviderVersion
from lifecycle.registry.record import AgentRecord, Intent
from lifecycle.specs.spec import AgentSpec


@dataclass(frozen=True, slots=True)
class Provision:
    """Find or create the version for `spec`, and enable the agent at the provider."""

    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class MakePinnedVersion:
    """Find or create a version for `spec` beside the current one."""

    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Inspect:
    """Check whether the version exists as made from `spec`, and whether it has duplicates."""

    version: ProviderVersion
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Disable the agent at the provider, and archive the definitions of these versions."""

    versions: Sequence[ProviderVersion]


@dataclass(frozen=True, slots=True)
class Deprovision:
    """Delete these versions, and those that unfinished intents may have created."""

    spec: AgentSpec
    versions: Sequence[ProviderVersion]
    intents: Sequence[Intent]


@dataclass(frozen=True, slots=True)
class Discard:
    """Archive and delete these versions, also if the agent has others; versions not made by this app stay."""

    versions: Sequence[ProviderVersion]


Effect = Provision | MakePinnedVersion | Inspect | Deactivate | Deprovision | Discard


@dataclass(frozen=True, slots=True)
class Decision:
    """The record to write, and the effect to carry out afterwards (None: nothing).

    The operation counts as applied once its last effect has ended; without an effect, at once.
    """

    record: AgentRecord
    effect: Effect | None = None
