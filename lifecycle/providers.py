"""The AgentProvider seam: where agents live and models are called, for every provider alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from kernel.errors import AppError
from lifecycle.specs import AgentSpec

if TYPE_CHECKING:
    from agent_framework import SupportsAgentRun


@dataclass(frozen=True, slots=True)
class Wanted:
    """The provider agent a spec calls for.

    Attributes:
        owner: Identifies this registry among others that use the same provider.
        workspace: Workspace the agent belongs to.
        agent: The agent's name in the workspace.
        name: The agent's name at the provider (`lifecycle.specs.provider_name`).
        fingerprint: `lifecycle.specs.fingerprint` of what to find or make; `find` goes by owner, name and this alone.
        spec: What to make.
    """

    owner: str
    workspace: str
    agent: str
    name: str
    fingerprint: str
    spec: AgentSpec


@dataclass(frozen=True, slots=True)
class ProviderVersion:
    """An immutable agent version at the provider.

    Attributes:
        name: The agent's name at the provider.
        version: The provider's version label, e.g. `1`.
        id: The provider's own identifier, opaque to us.
        created_at: When the provider made it, aware UTC.
        provider: Which provider has it, as `AgentSpec.provider` says it; noted by the registry, empty before.
    """

    name: str
    version: str
    id: str
    created_at: datetime
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which try of which run a model call belongs to; given to `run(client_kwargs={"attempt": …})`.

    Attributes:
        run_id: The run.
        number: 1 for the first attempt of the run.
    """

    run_id: str
    number: int


class AgentProvider(Protocol):
    """A place where agents are made and run. All errors raised are `AppError`s (see `translate`)."""

    async def find(self, wanted: Wanted) -> ProviderVersion | None:
        """Return the version of ours that already carries the wanted fingerprint, or None."""
        ...

    async def create(self, wanted: Wanted) -> ProviderVersion:
        """Make the version; not idempotent by itself, so look with `find` first."""
        ...

    async def delete(self, version: ProviderVersion) -> None:
        """Delete the version; a version that is already gone is no error."""
        ...

    async def exists(self, version: ProviderVersion) -> bool:
        """Return whether the version is still there."""
        ...

    def open(self, version: ProviderVersion, spec: AgentSpec) -> SupportsAgentRun:
        """Return a Microsoft Agent Framework agent bound to the version; does no I/O and can be shared by runs."""
        ...

    def translate(self, error: Exception) -> AppError:
        """Return the error of our tree that an exception from the opened agent's `run` means.

        Unavailable with code `provider_throttled` or `provider_unavailable`, and `retry_after_s` where the provider
        named one, for throttling, time-outs and outages; ProviderRejected with code `content_filter`, `provider_auth`
        or `provider_rejected` for what it refuses; an error of ours from inside the run as it is; InternalError for
        anything else.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


Providers = Mapping[str, AgentProvider]
"""The providers by `AgentSpec.provider`."""
