"""What following event streams costs with many followers, and how many events a workspace's stream takes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from adapters.azure_tables import AzureTables
from benchmarks.measure import CountingTables, Result
from bootstrap.services import Services
from devhost.services import Azurite, start_azurite
from kernel.journal import Entry, Event, Journal
from kernel.settings import Settings
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_store import ConversationChange, StoredConversation
from lifecycle.events.streams import SessionStream, Stream, WorkspaceStream

_FOLLOWERS = (1, 50, 200)
_SECONDS = 5.0
_EVENTS_A_SECOND = 4
_SOURCES = 64
_EACH = 20


async def measure_events() -> list[Result]:
    """Return the reads per second of following a busy stream, and the events appended per second."""
    with tempfile.TemporaryDirectory(prefix="agents-bench-") as data, ExitStack() as parts:
        azurite = parts.enter_context(start_azurite(Path(data) / "azurite"))
        session = {count: await _reads(azurite, count, of_session=True) for count in _FOLLOWERS}
        workspace = {count: await _reads(azurite, count, of_session=False) for count in _FOLLOWERS}
        together, alone = await _appends(azurite, at_once=True), await _appends(azurite, at_once=False)
    return [
        *(_result("a session", count, reads, session[1]) for count, reads in session.items()),
        *(_result("a workspace", count, reads, workspace[1]) for count, reads in workspace.items()),
        Result(
            f"events/s into a workspace's stream, {_SOURCES} sessions at once",
            f"{together:.0f}",
            f"one after the other: {alone:.0f}",
            f"{together / alone:.1f}×",
        ),
    ]


def _result(what: str, count: int, reads: float, of_one: float) -> Result:
    beside = f"1 follower: {of_one:.1f}"
    return Result(
        f"table reads/s, {count} follow {what} written elsewhere", f"{reads:.1f}", beside, f"{reads / of_one:.2f}×"
    )


async def _reads(azurite: Azurite, followers: int, *, of_session: bool) -> float:
    """Return the reads per second of a process with so many followers of another process's stream."""
    tables = CountingTables(AzureTables.from_connection_string(azurite.connection_string))
    services = Services(tables, Settings())
    writer = Services(AzureTables.from_connection_string(azurite.connection_string), Settings())
    workspace, session = f"bench-{followers}-{int(of_session)}", "s"
    await _tell(writer, workspace, session)
    stream: Stream = SessionStream(services.conversations.store, workspace, session)
    if not of_session:
        stream = WorkspaceStream(services.events.journal, workspace)
    ends, got = asyncio.get_running_loop().time() + _SECONDS, [0] * followers

    async def follow(number: int) -> None:
        last: str | None = None
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            news = await services.conversations.subscribers.follow(stream, last, wait_s=left)
            last, got[number] = stream.id_of(news.position), got[number] + len(news.events)
            await asyncio.sleep(0.25)  # as long as a browser waits before it reconnects

    async def write() -> None:
        while asyncio.get_running_loop().time() < ends - 1:
            await _tell(writer, workspace, session)
            await asyncio.sleep(1 / _EVENTS_A_SECOND)

    tables.requests.clear()
    await asyncio.gather(write(), *(follow(number) for number in range(followers)))
    reads = tables.requests["read"] / _SECONDS
    await asyncio.gather(services.aclose(), writer.aclose())
    if len(set(got)) != 1 or got[0] < _EVENTS_A_SECOND:
        msg = f"followers got different events: {sorted(set(got))}"
        raise RuntimeError(msg)
    return reads


async def _tell(writer: Services, workspace: str, session_id: str) -> None:
    def decide(stored: StoredConversation) -> ConversationChange:
        now = datetime.now(UTC)
        session = stored.session or Session(workspace, session_id, "bench", None, created_at=now, last_activity=now)
        return ConversationChange(session, events=[Event("run.stage", {"run_id": "r", "stage": "RUNNING"}, now)])

    await writer.conversations.store.update(workspace, session_id, None, decide)
    await writer.conversations.publisher.flush()


async def _appends(azurite: Azurite, *, at_once: bool) -> float:
    """Return the events per second that one process appends to a workspace's stream for many sessions."""
    tables = AzureTables.from_connection_string(azurite.connection_string)
    journal, workspace = Journal(tables), f"appends-{int(at_once)}"
    event = Event("run.stage", {"run_id": "r", "stage": "RUNNING"}, datetime.now(UTC))

    async def source(name: str) -> None:
        for number in range(_EACH):
            await journal.append(workspace, Entry(name, number, [(number, event)], number + 1))

    names = [f"session:{number}/" for number in range(_SOURCES if at_once else 4)]
    started = time.perf_counter()
    if at_once:
        await asyncio.gather(*map(source, names))
    else:
        for name in names:
            await source(name)
    took = time.perf_counter() - started
    await tables.aclose()
    return len(names) * _EACH / took
