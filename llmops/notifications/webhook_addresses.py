"""Which addresses a webhook may have: none inside the app's own network (SSRF protection).

A name can resolve to a different address each time, so these rules are applied to the URL when a channel is set and to
the resolved address whenever a connection is made (owasp.org, Server-Side Request Forgery Prevention Cheat Sheet).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

MAX_URL = 2048
_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]+")
_INSIDE = ("localhost", "local", "internal", "intranet", "lan", "home.arpa")
_PLATFORM = IPv4Address(
    "168.63.129.16"
)  # Azure's platform services on every host, although the address is a public one
_UNICAST = IPv6Network(
    "2000::/3"
)  # all publicly routed IPv6 addresses (RFC 4291); the others embed IPv4 or have other uses
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """The URL of a webhook, parsed once, so that the connection goes to what was checked.

    Attributes:
        scheme: `https` or `http`.
        host: A name in lower case, or an address without brackets.
        port: The port.
        path: Path and query.
        authority: Value of the Host header.
    """

    scheme: str
    host: str
    port: int
    path: str
    authority: str


def target_of(url: str, *, allow_private: bool) -> WebhookTarget:
    """Return the parts of a URL if its text is acceptable for a webhook.

    Args:
        url: The URL.
        allow_private: Whether plain http and private addresses are allowed, as on a developer's machine.

    Raises:
        InvalidInput: It is not a URL (`invalid_webhook_url`), is not https (`webhook_not_https`), or names an address
            that
            is not public (`webhook_address_refused`).
    """
    if len(url) > MAX_URL or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise _invalid("use an absolute URL of at most 2,048 visible ASCII characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        raise _invalid("it cannot be parsed") from None
    if parts.scheme not in ("https", "http"):
        raise _invalid("use https")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _invalid("leave out user, password and fragment")
    address = _literal(host, bracketed="[" in parts.netloc)
    if port == 0:
        raise _invalid("port 0 is not allowed")
    if not allow_private:
        if parts.scheme != "https":
            raise InvalidInput("A webhook's URL is https.", code="webhook_not_https", fields={"/url": "use https"})
        inside = any(host == name or host.endswith(f".{name}") for name in _INSIDE)
        if inside or (address is not None and not is_public(address)):
            raise refused()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookTarget(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path, parts.netloc)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address is a public unicast address and not one of the platform's."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        tunnelled = address.sixtofour is not None or address.teredo is not None
        return address in _UNICAST and address.is_global and not tunnelled and address not in _DOCUMENTATION
    return address.is_global and not address.is_multicast and address != _PLATFORM


def refused() -> InvalidInput:
    """Return the error for an address that webhooks must not reach."""
    msg = "Webhooks go to public addresses only."
    return InvalidInput(msg, code="webhook_address_refused", fields={"/url": "names or resolves to no public address"})


def _literal(host: str, *, bracketed: bool) -> IPv4Address | IPv6Address | None:
    """Return the address that the host is; None for a name.

    A host whose last label is a number is an IPv4 address to every resolver, also in old spellings (`127.1`,
    `0x7f000001`, `2130706433`); only the dotted decimal form is accepted (url.spec.whatwg.org, "ends in a number").
    """
    try:
        address = ip_address(host)
    except ValueError:
        if bracketed or not _NAME.fullmatch(host) or _NUMBER.fullmatch(host.rsplit(".", 1)[-1]):
            raise _invalid("its host is neither a name nor an address in the usual notation") from None
        return None
    if isinstance(address, IPv6Address) and (not bracketed or address.scope_id):
        raise _invalid("its host is neither a name nor an address in the usual notation")
    return address


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(f"The webhook's URL is not valid: {why}.", code="invalid_webhook_url", fields={"/url": why})
