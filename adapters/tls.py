"""The certificate authorities that clients trust, loaded once per process: up to 50 ms of CPU each time.

Every library does it anew for each client or connection that is given no context.
"""

from __future__ import annotations

import functools
import ssl


@functools.cache
def trusted(*, environment: bool) -> ssl.SSLContext:
    """Return the context that `httpx2` would make for each client.

    Args:
        environment: Whether SSL_CERT_FILE and SSL_CERT_DIR name the authorities.
    """
    import httpx2  # noqa: PLC0415 - a start that only sends to the queue needs no HTTP

    return httpx2.create_ssl_context(trust_env=environment)


@functools.cache
def bundled() -> ssl.SSLContext:
    """Return the context that the Service Bus SDK would make for each connection, encrypted or not."""
    import certifi  # noqa: PLC0415 - comes with that SDK, which is imported with its first use

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    return context
