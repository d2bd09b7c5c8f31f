"""The app's HTTP API, as the commands use it: the Python client, one request after the other."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from lifecycle.cli.command import CommandFailed

if TYPE_CHECKING:
    from agent_lifecycle_client import ApiError, Client

DEFAULT_URL = "http://127.0.0.1:7071"
_TIMEOUT_S = 240
"""Longer than Azure allows an HTTP function (230 s): an inventory of a large project takes long."""
_ATTEMPTS, _PAUSE_S = 3, 0.1
"""Few and quick: somebody waits at the terminal, and most often the app is not started."""
_Answer = TypeVar("_Answer")


class Server:
    """The API of a running app. A context manager that closes its connections."""

    def __init__(
        self, url: str, *, key: str | None = None, token: str | None = None, workspace: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            msg = f"{url!r} is not a URL; use one like {DEFAULT_URL}"
            raise CommandFailed(msg)
        from agent_lifecycle_client import Client  # noqa: PLC0415 - `--help` needs none

        self._client: Client = Client(
            self.url,
            key=_sendable(key, "function key"),
            token=_sendable(token, "token"),
            workspace=_sendable(workspace, "workspace"),
            attempts=_ATTEMPTS,
            pause_s=_PAUSE_S,
            timeout_s=_TIMEOUT_S,
        )
        self._loop = asyncio.Runner()

    @classmethod
    def of(cls, arguments: Namespace, environ: Mapping[str, str]) -> Server:
        """Return the app named by the arguments, else by the environment."""
        return cls(
            arguments.url or environ.get("LIFECYCLE_URL") or DEFAULT_URL,
            key=arguments.key or environ.get("LIFECYCLE_KEY"),
            token=environ.get("LIFECYCLE_TOKEN"),
            workspace=arguments.workspace,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._client.aclose())
        self._loop.close()

    def call(self, method: str, path: str, body: Any = None, *, if_match: str = "", **query: Any) -> Any:
        """Return the JSON of the answer; None where there is none.

        Raises:
            CommandFailed: The app cannot be reached, or answers with an error.
        """
        headers = {"If-Match": if_match} if if_match else {}
        return self._answer(method, path, self._client.json(method, path, body, params=query, headers=headers))

    def find(self, path: str) -> Any:
        """Return the JSON of a resource; None if it does not exist.

        Raises:
            CommandFailed: The app cannot be reached, or answers with another error.
        """
        return self._answer("GET", path, self._client.json("GET", path), missing=True)

    def every(self, path: str) -> Iterator[Any]:
        """Yield every item of a list, reading page by page.

        Raises:
            CommandFailed: The app cannot be reached, or answers with an error.
        """
        items = self._client.items(path, limit=200)
        while (item := self._answer("GET", path, _next(items))) is not None:
            yield item

    def _answer(
        self, method: str, path: str, asking: Coroutine[Any, Any, _Answer], *, missing: bool = False
    ) -> _Answer | None:
        """Return what is answered, or None for what is not there if that may be.

        Raises:
            CommandFailed: The app cannot be reached, or refuses.
        """
        from agent_lifecycle_client import ApiError  # noqa: PLC0415 - see above
        from httpx import HTTPError  # noqa: PLC0415 - see above

        try:
            return self._loop.run(asking)
        except ApiError as error:
            if missing and error.status == 404:
                return None
            raise CommandFailed(self._refusal(f"{method} {path}: {error.status}", error)) from None
        except HTTPError as error:
            hint = " Is it started (`make start`)?" if self.url == DEFAULT_URL else ""
            msg = f"The app at {self.url} cannot be reached: {type(error).__name__}.{hint}"
            raise CommandFailed(msg) from None
        except ValueError:  # it is no JSON
            msg = f"{method} {path}: {self._no_answer()}"
            raise CommandFailed(msg) from None

    def _refusal(self, what: str, error: ApiError) -> str:
        message = f"{what}; {self._no_answer()}" if error.code == "unknown" else f"{what} {error.code}: {error.detail}"
        if error.status == 401:
            message += " Set LIFECYCLE_KEY to a function key of the app, or LIFECYCLE_TOKEN where users sign in."
        return "\n".join([message, *(f"  {each['pointer']}: {each['detail']}" for each in error.errors)])

    def _no_answer(self) -> str:
        return f"this is not the app's answer, is {self.url} its address?"


def _sendable(value: str | None, what: str) -> str | None:
    """Return the value of a header, without the space around it that copying leaves; the value is in no message.

    Raises:
        CommandFailed: No header can have it.
    """
    value = value.strip() if value else None
    if value and not (value.isascii() and value.isprintable()):
        msg = f"the {what} cannot be sent: it has characters that are not printable ASCII; was more copied than it?"
        raise CommandFailed(msg)
    return value


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, None)
