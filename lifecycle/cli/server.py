"""Client of the app's HTTP API for the commands."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from lifecycle.cli.command import CommandFailed

if TYPE_CHECKING:
    from httpx2 import Client, Response

DEFAULT_URL = "http://127.0.0.1:7071"
_TIMEOUT_S = 240
"""Longer than Azure allows an HTTP function (230 s): an inventory of a large project takes long."""


class Server:
    """The API of a running app. A context manager that closes its connections."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            msg = f"{url!r} is not a URL; use one like {DEFAULT_URL}"
            raise CommandFailed(msg)
        from httpx2 import Client  # noqa: PLC0415 - `--help` needs none

        self._http: Client = Client(base_url=f"{self.url}/api/", headers=dict(headers), timeout=_TIMEOUT_S)

    @classmethod
    def of(cls, arguments: Namespace, environ: Mapping[str, str]) -> Server:
        """Return the app named by the arguments, else by the environment."""
        headers: dict[str, str] = {}
        if key := arguments.key or environ.get("LIFECYCLE_KEY"):
            headers["x-functions-key"] = key
        if token := environ.get("LIFECYCLE_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        if arguments.workspace:
            headers["X-Workspace"] = arguments.workspace
        return cls(arguments.url or environ.get("LIFECYCLE_URL") or DEFAULT_URL, headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the response's JSON; None if it has no body.

        Raises:
            CommandFailed: The app cannot be reached, or answers with an error.
        """
        return self._result_of(method, path, self._send(method, path, body, headers))

    def find(self, path: str) -> Any:
        """Return the JSON of a resource; None if it does not exist.

        Raises:
            CommandFailed: The app cannot be reached, or answers with another error.
        """
        response = self._send("GET", path, None, {})
        return None if response.status_code == 404 else self._result_of("GET", path, response)

    def every(self, path: str) -> Iterator[Any]:
        """Yield every item of a list, reading page by page.

        Raises:
            CommandFailed: The app cannot be reached, or answers with an error.
        """
        after = ""
        while True:
            page = self.call("GET", f"{path}?limit=200{after}")
            yield from page["items"]
            if page["next"] is None:
                return
            after = f"&next={quote(page['next'])}"

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Response:
        from httpx2 import HTTPError  # noqa: PLC0415 - see above

        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return self._http.request(method, path, json=body, headers=named)
        except HTTPError as error:
            hint = " Is it started (`make start`)?" if self.url == DEFAULT_URL else ""
            msg = f"The app at {self.url} cannot be reached: {type(error).__name__}.{hint}"
            raise CommandFailed(msg) from None

    def _result_of(self, method: str, path: str, response: Response) -> Any:
        if response.is_success:
            return response.json() if response.content else None
        request = f"{method} {path.partition('?')[0]}: {response.status_code}"
        try:
            problem = response.json()
            message = f"{request} {problem['code']}: {problem['detail']}"
            wrong = [f"  {each['pointer']}: {each['detail']}" for each in problem.get("errors", ())]
        except (ValueError, KeyError, TypeError):
            message, wrong = f"{request}; this is not the app's answer, is {self.url} its address?", []
        if response.status_code == 401:
            message += " Set LIFECYCLE_KEY to a function key of the app, or LIFECYCLE_TOKEN where users sign in."
        raise CommandFailed("\n".join([message, *wrong]))
