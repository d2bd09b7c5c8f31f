"""The provider of an extension's chat client, which may be any chat client of Agent Framework."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, cast

from adapters.providers.failures import causes, own_error, unknown_error
from adapters.providers.stateless import StatelessProvider
from kernel.errors import AppError, ProviderRejected, Unavailable

if TYPE_CHECKING:
    from agent_framework import Agent

    from kernel.clock import Clock
    from lifecycle.extensions.definition import ChatClientMaker
    from lifecycle.registry.providers import ProviderVersion
    from lifecycle.specs.spec import AgentSpec
    from lifecycle.specs.tools import Toolbox
    from lifecycle.tools.context import Setting

log = logging.getLogger(__name__)

_THROTTLED = 429
_SERVER = 500
_DENIED = (401, 403)
_LEFT = (408, 409)


class ExtensionProvider(StatelessProvider):
    """Agents that call models by an extension's chat client; one client is created per model."""

    def __init__(self, maker: ChatClientMaker, setting: Setting, clock: Clock, toolbox: Toolbox) -> None:
        super().__init__(maker.name, clock, toolbox)
        self._maker = maker
        self._setting = setting
        self._clients: dict[str, Any] = {}
        self._making = threading.Lock()

    def open(self, version: ProviderVersion, spec: AgentSpec) -> Agent[Any]:
        """Return an agent that calls the model by the extension's client.

        Raises:
            InvalidInput: The spec names a tool or a context provider that does not exist.
            ProviderRejected: The extension failed to create a client (code `chat_client_failed`).
        """
        from agent_framework import Agent  # noqa: PLC0415 - cold start

        options = {"temperature": spec.temperature, "top_p": spec.top_p, "max_tokens": spec.max_output_tokens}
        given = {name: value for name, value in options.items() if value is not None}
        return Agent(
            self._client(spec.model),
            spec.instructions or None,
            id=version.id,
            name=version.name,
            tools=list(self._toolbox.pick(spec.tools)),
            context_providers=self._toolbox.context(spec.context_providers),
            default_options=cast("Any", {"model": spec.model, **given}),
        )

    def translate(self, error: Exception) -> AppError:
        """Return the app's error for an exception of an unknown client, by its HTTP status if it has one."""
        if ours := own_error(error):
            return ours
        for cause in causes(error):
            status = getattr(cause, "status_code", getattr(cause, "status", None))
            if isinstance(status, int) and status >= 400:
                return _refused(status)
            if isinstance(cause, TimeoutError | ConnectionError):
                return Unavailable("The model provider did not answer.", code="provider_unavailable")
        return unknown_error(error)

    async def aclose(self) -> None:
        """Close the clients that can be closed."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            close = _close_of(client) or _close_of(
                getattr(client, "client", None)
            )  # the SDK's own client, held by the framework
            if close is None:
                continue
            try:
                closed = close()
                if closed is not None:
                    await closed
            except Exception as error:  # noqa: BLE001 - the app is closing
                log.warning("chat client %s: %s", self._maker.name, type(error).__name__)

    def _client(self, model: str) -> Any:
        with self._making:  # agents are opened in threads
            if model not in self._clients:
                try:
                    self._clients[model] = self._maker.make(model, self._setting)
                except AppError:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever somebody's module raises
                    name = type(error).__name__
                    log.warning("chat client %s: %s", self._maker.name, name, extra={"event": "extension.failed"})
                    msg = f"The chat client {self._maker.name!r} could not be made ({name})."
                    raise ProviderRejected(msg, code="chat_client_failed") from None
            return self._clients[model]


def _close_of(client: Any) -> Any:
    return getattr(client, "aclose", None) or getattr(client, "close", None)


def _refused(status: int) -> AppError:
    if status == _THROTTLED:
        return Unavailable("The model provider takes no more calls for now.", code="provider_throttled")
    if status >= _SERVER or status in _LEFT:
        return Unavailable(f"The model provider answered {status}.", code="provider_unavailable")
    code = "provider_auth" if status in _DENIED else "provider_rejected"
    return ProviderRejected(f"The model provider answered {status}.", code=code)
