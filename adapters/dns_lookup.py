"""Looking up the addresses of names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, for a port.

    Raises:
        OSError: There are none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
