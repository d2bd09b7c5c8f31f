"""Which requests the host accepts: those of programs on this machine and of its own pages, not of other websites.

A page of any website can make its visitor's browser send requests to this machine. Two things identify such a request:
a `Host` that is not one of this host's names (DNS rebinding: a website whose name resolves to this machine), and an
`Origin` or `Sec-Fetch-Site` of another site (a form or a script). Pages cannot change these headers. Programs such as
curl and the SDKs send neither `Origin` nor `Sec-Fetch-Site`.
"""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
#: Ports that browsers leave out of `Host` and `Origin`.
_DEFAULT_PORTS = {"80", "443"}
_log = logging.getLogger("devhost.http")


class Headers(Protocol):
    """Request headers, which may repeat."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values of a header."""
        ...


@dataclass(frozen=True)
class OriginGuard:
    """The rule that distinguishes requests of this machine from those of other websites."""

    #: Host names in lower case, IPv6 addresses in brackets.
    names: frozenset[str]
    #: Whether any IP address is a name of this host, as it is for one that listens on every interface.
    any_address: bool = False
    #: Names given by the user: pages served under them may call, whatever `Host` a proxy in between sends.
    given: frozenset[str] = frozenset()
    #: Whether a link on another site may lead here; only a plain visit, never a form or a script.
    links: bool = True

    @classmethod
    def for_host(cls, bound: str, given: Iterable[str] = (), *, links: bool = True) -> "OriginGuard":
        """Return the rule for a host.

        Args:
            bound: The address it listens on.
            given: Further names of the host.
            links: Whether to accept a visit by a link on another site.

        Raises:
            ValueError: A given name is not a host name.
        """
        extra = frozenset(_named(name) for name in given)
        return cls(frozenset({*_LOCAL, _bracketed(bound.lower()), *extra}), bound in _WILDCARDS, extra, links)

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Return why a request is refused; None if it is accepted.

        Args:
            method: The HTTP method in upper case.
            headers: The request's headers.
        """
        hosts = headers.getall("Host", [])
        host = _name_and_port(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_own(host[0]):
            shown = hosts[0][:100] if len(hosts) == 1 else "missing or repeated"
            return f"The Host header ({shown!r}) is not a name of this host; allow it with --allow-host NAME."
        for origin in headers.getall("Origin", []):
            if not self._same(origin, host):
                return f"A page of another origin ({origin[:100]!r}) may not call this host; see --allow-host."
        for site in headers.getall("Sec-Fetch-Site", []):
            if site not in {"same-origin", "none"} and not self._is_visit(method, headers):
                # A page behind a proxy has the same origin for its browser, so nothing needs to be allowed here.
                return f"A page of another site ({site[:20]}) may not call this host."
        return None

    def _is_own(self, name: str) -> bool:
        return name in self.names or (self.any_address and _is_address(name))

    def _same(self, origin: str, host: tuple[str, str]) -> bool:
        found = _ORIGIN.fullmatch(origin)
        parts = _name_and_port(found[1]) if found else None
        return parts is not None and (parts == host or parts[0] in self.given)

    def _is_visit(self, method: str, headers: Headers) -> bool:
        mode, target = headers.getall("Sec-Fetch-Mode", []), headers.getall("Sec-Fetch-Dest", [])
        return self.links and method in {"GET", "HEAD"} and mode == ["navigate"] and target == ["document"]


def guard_middleware(guard: OriginGuard) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that refuses such requests with 403; it must come before all others."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = guard.refusal(request.method, request.headers)
        if reason is None:
            return await handler(request)
        _log.warning("Refused %s %s: %s", request.method, request.rel_url.raw_path, reason)
        return web.Response(status=403, text=reason)

    return check


def _name_and_port(text: str) -> tuple[str, str] | None:
    """Return the parts of `name[:port]`; the port is "" where it is omitted or a default one; None if malformed."""
    found = _HOST.fullmatch(text.strip())
    if found is None:
        return None
    port = found[2] or ""
    return found[1].lower().removesuffix("."), "" if port in _DEFAULT_PORTS else port


def _named(name: str) -> str:
    parts = _name_and_port(_bracketed(name))
    if parts is None:
        raise ValueError(f"{name!r} is not a host name")
    return parts[0]


def _bracketed(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
