"""The certificate authorities that HTTP clients trust, loaded once per process: up to 50 ms of CPU each time."""

from __future__ import annotations

import functools
import ssl

import httpx2


@functools.cache
def trusted(*, environment: bool) -> ssl.SSLContext:
    """Return the context that `httpx2` would make for each client.

    Args:
        environment: Whether SSL_CERT_FILE and SSL_CERT_DIR name the authorities.
    """
    return httpx2.create_ssl_context(trust_env=environment)
