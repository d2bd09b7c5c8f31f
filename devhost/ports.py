"""Listening sockets, bound before anything else starts so that a port in use stops the host with one clear line."""

import errno
import socket
from collections.abc import Iterable

from devhost.errors import PortTakenError, StartupError


def bind(host: str, port: int, option: str) -> socket.socket:
    """Bind a TCP socket; port 0 takes a free one.

    Args:
        host: Address to bind.
        port: Port to bind.
        option: Command line option of this port, for the error's text.

    Raises:
        PortTakenError: Another program uses the port.
        StartupError: The address is not this machine's, the user may not use the port, or it is not a port number.
    """
    if not 0 <= port <= 65_535:
        raise StartupError(f"Cannot listen on {host}, port {port}: ports are numbers up to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two sockets with SO_REUSEADDR may bind the same port; only one of them may listen.
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise StartupError(f"Cannot listen on {host}, port {port}: {error.strerror}") from error
        raise PortTakenError(port, option) from error
    return listener


def bind_first(host: str, candidates: Iterable[int], option: str) -> socket.socket:
    """Bind the first free port of several.

    Raises:
        PortTakenError: None is free.
    """
    last: PortTakenError | None = None
    for port in candidates:
        try:
            return bind(host, port, option)
        except PortTakenError as error:
            last = error
    raise last or PortTakenError(0, option)


def port_of(listener: socket.socket) -> int:
    """Return the port a socket is bound to."""
    return listener.getsockname()[1]


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now; for programs that cannot take port 0 themselves."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
