"""TCP servers and connections of tests, none of which outlives its `async with`: not a socket, task or stream.

A stream that is left to the garbage collector warns when its event loop is closed already, in whichever test runs then.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection, which is closed when it returns."""


@asynccontextmanager
async def listening(handle: Handle, limit: int = 1 << 16) -> AsyncIterator[int]:
    """Serve each connection by `handle` on a free port, which is yielded; cancel those that still run at the end.

    Args:
        handle: Serves one connection; that the peer hangs up is no error.
        limit: How many bytes a reader keeps at most.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                if server.is_serving():
                    await handle(reader, writer)
        finally:
            await hang_up(writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        running = list(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()  # for those that were just accepted too


@asynccontextmanager
async def connection(
    port: int, limit: int = 1 << 16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection to a port of this machine, and close it.

    Raises:
        OSError: Nobody listens there.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield reader, writer
    finally:
        await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a stream, at once where its peer takes no more, and wait until it is closed."""
    writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def close_forgotten_streams() -> None:
    """Close the streams of this event loop that nobody has closed, while it still runs.

    azure-servicebus closes no connection that broke, but leaves it to the garbage collector. A test that breaks some
    lets `ResourceWarning` be, and calls this at its end.
    """
    gc.collect()
    loop = asyncio.get_running_loop()
    for each in gc.get_objects():
        if type(each) is asyncio.StreamWriter and each._loop is loop and not each.is_closing():  # pyright: ignore[reportAttributeAccessIssue]
            await hang_up(each)
