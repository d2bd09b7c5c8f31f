"""The provider `route`: the `model` of a spec names a route; each model call goes to one of its deployments."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adapters.identity import AppIdentity
from adapters.providers.openai import Endpoint
from adapters.providers.stateless import StatelessProvider
from kernel.errors import AppError, ProviderRejected
from kernel.lazy_dataclass import dataclass
from lifecycle.tools.context import Setting
from llmops.routing.route import PROVIDER, Deployment, origin_of

if TYPE_CHECKING:
    from agent_framework import Agent

    from adapters.providers.routed_client import Deployments
    from kernel.clock import Clock
    from lifecycle.registry.providers import ProviderVersion
    from lifecycle.specs.spec import AgentSpec
    from lifecycle.specs.tools import Toolbox
    from llmops.routing.router import Router


@dataclass(frozen=True, slots=True)
class Reach:
    """How to connect to deployments.

    Attributes:
        own: The app's own endpoint, for deployments that name none.
        setting: Returns app settings by name, for keys.
        timeout_s: Timeout of an answer, or of the next chunk of a streamed one, in seconds.
        allow_private: Whether plain http and private addresses are allowed.
    """

    own: Endpoint
    setting: Setting
    timeout_s: float
    allow_private: bool

    def endpoint(self, one: Deployment) -> Endpoint:
        """Return the endpoint of a deployment; without retries by the SDK, because another deployment is tried instead.

        Raises:
            ProviderRejected: The app setting with its key is missing (code `provider_auth`).
        """
        if not one.endpoint:
            own = self.own
            return Endpoint(
                base_url=own.base_url,
                azure_endpoint=own.azure_endpoint,
                api_version=own.api_version,
                api_key=own.api_key,
                credential=own.credential,
                timeout_s=self.timeout_s,
                max_retries=0,
            )
        azure = one.provider == "azure_openai"
        return Endpoint(
            base_url=None if azure else one.endpoint,
            azure_endpoint=one.endpoint if azure else None,
            api_version=one.api_version or None,
            api_key=self._key(one) if one.key_setting else None,
            credential=AppIdentity() if one.identity else None,
            timeout_s=self.timeout_s,
            max_retries=0,
        )

    def _key(self, one: Deployment) -> str:
        """Return the key; it is only sent to the origin in the setting, whatever a route says."""
        try:
            parsed: Any = json.loads(self.setting(one.key_setting) or "")
            origin, key = str(parsed["origin"]), parsed["key"]
            fits = isinstance(key, str) and bool(key) and origin_of(origin) == origin_of(one.endpoint)
        except (ValueError, KeyError, TypeError):
            fits, key = False, ""
        if not fits:
            msg = f"The app setting {one.key_setting} holds no key for the endpoint of the deployment {one.name!r}."
            raise ProviderRejected(msg, code="provider_auth")
        return key


class RoutedProvider(StatelessProvider):
    """Agents that are only their specs, and call the deployments of routes.

    Attributes:
        router: Chooses deployments.
        reach: How to connect to them.
        clock: Returns the current time, for creation times and built-in tools.
        toolbox: The tools that specs may name.
    """

    def __init__(self, router: Callable[[], Router], reach: Reach, clock: Clock, toolbox: Toolbox) -> None:
        super().__init__(PROVIDER, clock, toolbox)
        self._router = router
        self._reach = reach
        self._deployments: Deployments | None = None
        self._connecting = threading.Lock()

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Agent[Any]:
        """Return an agent whose calls are routed; does no I/O.

        Raises:
            InvalidInput: The spec names a tool that does not exist (code `unknown_tool`).
        """
        from adapters.providers import routed_client  # noqa: PLC0415 - imports the Agent Framework and openai

        tools, context = self._toolbox.pick(spec.tools), self._toolbox.context(spec.context_providers)
        with self._connecting:  # agents are opened in threads
            if self._deployments is None:
                self._deployments = routed_client.Deployments(self._router(), self._reach, self._clock)
            deployments = self._deployments
        return routed_client.open_agent(deployments, version, spec, tools, context)

    async def warm(self, workspace: str, spec: AgentSpec) -> None:
        """Get tokens, open connections to the route's deployments, and connect to the spec's MCP servers, in advance.

        Raises:
            AppError: There is no such route, or a deployment or server cannot be reached.
        """
        if (deployments := self._deployments) is not None:
            try:
                await deployments.warm(workspace, spec.model)
            except Exception as error:
                raise self.translate(error) from error
        await super().warm(workspace, spec)

    def translate(self, error: Exception) -> AppError:
        """Return the app's error for an exception of the opened agent's `run`; never the raw text."""
        from adapters.providers.openai_failures import translate  # noqa: PLC0415 - imports openai

        return translate(error, self._clock())

    async def aclose(self) -> None:
        """Close the connections; agents opened before cannot be used afterwards."""
        deployments, self._deployments = self._deployments, None
        if deployments is not None:
            await deployments.aclose()
