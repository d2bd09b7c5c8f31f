"""What only the Azure implementation can get wrong: the network, the account, and how much it imports."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn, cast

import pytest
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError

from adapters import azure_tables
from adapters.azure_tables import AzureTables
from kernel.errors import Unavailable
from kernel.tables import Delete, Insert, Replace, Row, RowChanged, RowExists, RowTooLarge, Span, Upsert, Write
from tests.connections import Handle, connection, listening
from tests.contracts.tables.conftest import connection_string
from tests.waiting import QUIET_S

ROW = Row("p", "a", {"n": 1})
ETAG = 'W/"1"'


@asynccontextmanager
async def served(handle: Handle) -> AsyncIterator[AzureTables]:
    """Yield tables at a server."""
    async with listening(handle) as port:
        tables = AzureTables.from_connection_string(connection_string(port))
        try:
            yield tables
        finally:
            await tables.aclose()


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes], *, hang_up_after_s: float = 0) -> AsyncIterator[AzureTables]:
    """Yield tables whose service answers each request with these bytes, and then hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.split(b":")[1]))
        writer.write(answer(head))
        await writer.drain()
        await asyncio.sleep(hang_up_after_s)

    async with served(handle) as tables:
        yield tables


def http(status: int, code: str = "", *headers: str) -> bytes:
    body = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"secret words"}}}}}}' if code else ""
    lines = [f"HTTP/1.1 {status} Status", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", body]).encode()


async def outcomes(tables: AzureTables, *writes: Write) -> list[BaseException]:
    """Return how each method fails."""
    calls = [tables.get("table", "p", "a"), tables.query("table", Span("p")), tables.commit("table", [Insert(ROW)])]
    calls += [tables.commit("table", [write]) for write in (Upsert(ROW), Delete("p", "a"), *writes)]
    calls += [tables.commit("table", [Insert(ROW), Insert(Row("p", "b", {}))])]
    failures = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(failure, BaseException) for failure in failures), failures
    return [failure for failure in failures if isinstance(failure, BaseException)]


def check_unavailable(failures: list[BaseException]) -> None:
    for failure in failures:
        assert isinstance(failure, Unavailable), repr(failure)
        assert failure.code == "storage_unavailable"
        assert not {"secret", "127.0.0.1", "devstoreaccount1", "sig"} & set(str(failure).replace("/", " ").split())
        assert failure.__cause__ is None


async def test_a_dead_endpoint_is_unavailable_within_seconds() -> None:
    """Nobody listens: every method says so after a few short retries."""
    tables = AzureTables.from_connection_string(connection_string(1))
    async with asyncio.timeout(QUIET_S):
        failures = await outcomes(tables)
    await tables.aclose()

    check_unavailable(failures)


@pytest.mark.parametrize(
    "answer",
    [
        http(500, "InternalError"),
        http(503, "ServerBusy"),
        http(403, "AuthorizationFailure"),
        http(401),
        http(429),
        http(409, "TableBeingDeleted"),
        http(404, "AccountNotFound"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 202 OK\r\nContent-Length: 100\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b",
        b"no HTTP\r\n\r\n",
    ],
    ids=["500", "503", "403", "401", "429", "deleting", "account", "hangs up", "half", "half a batch", "not HTTP"],
)
async def test_a_service_that_does_not_serve_is_unavailable(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """Whatever it answers, and none of what it says is passed on."""
    monkeypatch.setitem(azure_tables._BOUNDS, "retry_backoff_factor", 0.01)
    async with serving(lambda _: answer) as tables:
        check_unavailable(await outcomes(tables))


async def test_a_throttling_service_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Retry-After is waited for, and after the last retry passed on."""
    monkeypatch.setitem(azure_tables._BOUNDS, "retry_total", 1)
    async with serving(lambda _: http(503, "ServerBusy", "Retry-After: 1")) as tables:
        with pytest.raises(Unavailable) as caught:
            await tables.get("table", "p", "a")

    assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_that_wants_a_long_pause_is_not_waited_for(status: int) -> None:
    """The caller is told at once how long it is to be, for its own time is limited; nothing is asked again."""
    asked: list[bytes] = []

    def answer(head: bytes) -> bytes:
        asked.append(head)
        return http(status, "ServerBusy", "Retry-After: 3600")

    async with serving(answer) as tables:
        failures = await outcomes(tables)

    assert len(asked) == len(failures)
    assert [cast("Unavailable", failure).retry_after_s for failure in failures] == [3600.0] * len(failures)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_throttled_commit_is_made_when_the_service_says(status: int) -> None:
    """Each attempt is dated and signed; the pause that the service asks for is kept."""
    heads: list[bytes] = []

    def answer(head: bytes) -> bytes:
        heads.append(head)
        busy = http(status, "ServerBusy", "Retry-After: 1")
        return busy if len(heads) == 1 else http(204, "", f"ETag: {ETAG}")

    async with serving(answer) as tables:
        etags = await tables.commit("table", [Upsert(ROW)])
    dates = [re.findall(rb"(?im)^x-ms-date: (.*)\r$", head) for head in heads]

    assert etags == [ETAG]
    assert [len(each) for each in dates] == [1, 1]
    assert dates[0] != dates[1]
    assert len({re.findall(rb"(?im)^authorization: (.*)\r$", head)[0] for head in heads}) == 2


def batch(*responses: bytes) -> bytes:
    """Return the answer to a transaction."""
    start = b"--c\r\nContent-Type: application/http\r\n\r\n"
    body = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    body += b"".join(start + response + b"\r\n" for response in responses) + b"--c--\r\n--b--\r\n"
    head = f"HTTP/1.1 202 Accepted\r\nContent-Length: {len(body)}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        batch(http(204)),
        batch(http(204), http(204), http(204)),
        batch(),
        batch(http(204), http(503, "ServerBusy")),
        http(202),
        http(204),
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["too few", "too many", "none", "busy", "no parts", "no body", "moved"],
)
async def test_a_transaction_that_is_not_answered_for_each_write_is_unavailable(answer: bytes) -> None:
    """Whether it took place is open."""
    async with serving(lambda _: answer) as tables:
        with pytest.raises(Unavailable):
            await tables.commit("table", [Upsert(ROW), Upsert(Row("p", "b", {}))])


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "secret words"])
async def test_rows_that_cannot_be_read_are_unavailable(body: str) -> None:
    """A proxy's page in place of the service's answer is no row, and not passed on."""
    text = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    async with serving(lambda _: text.encode()) as tables:
        reads = [tables.get("table", "p", "a"), tables.query("table", Span("p"))]
        failures = await asyncio.gather(*reads, return_exceptions=True)

    check_unavailable([failure for failure in failures if isinstance(failure, BaseException)])
    assert len(failures) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(413), RowTooLarge),
        (http(400, "EntityTooLarge"), RowTooLarge),
        (http(413, "RequestBodyTooLarge"), RowTooLarge),
        (http(400, "PropertyValueTooLarge"), RowTooLarge),
        (http(409, "EntityAlreadyExists"), RowExists),
        (http(412, "UpdateConditionNotSatisfied"), RowChanged),
        (http(412, "ConditionNotMet"), RowChanged),
        (http(404, "EntityNotFound"), RowChanged),
        (http(400, "InvalidInput"), ValueError),
    ],
    ids=lambda value: value.decode()[9:12] if isinstance(value, bytes) else value.__name__,
)
async def test_the_services_refusals_are_told_apart(answer: bytes, error: type[Exception]) -> None:
    """Alone and as part of a transaction's answer, by status and error code."""
    part = b"\r\n".join(
        [b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http", b"", answer]
    )
    batch = part + b"\r\n--c--\r\n--b--\r\n"
    head = f"HTTP/1.1 202 Accepted\r\nContent-Length: {len(batch)}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"

    async with serving(lambda request: head.encode() + batch if b"$batch" in request else answer) as tables:
        with pytest.raises(error):
            await tables.commit("table", [Replace(Row("p", "a", {}, ETAG))])
        with pytest.raises(error):
            await tables.commit("table", [Insert(ROW)])
        with pytest.raises(error):
            await tables.commit("table", [Replace(Row("p", "a", {}, ETAG)), Insert(Row("p", "b", {}))])


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 202 OK\r\nContent-Length: 100\r\n\r\n{"], ids=["nothing", "half"])
async def test_a_service_that_stalls_is_unavailable(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    """Before its answer or within it."""
    monkeypatch.setitem(azure_tables._BOUNDS, "read_timeout", 0.05)
    monkeypatch.setitem(azure_tables._BOUNDS, "retry_total", 1)
    async with serving(lambda _: start, hang_up_after_s=0.3) as tables:
        check_unavailable(await outcomes(tables))


async def test_a_credential_that_gives_no_token_is_unavailable() -> None:
    """What the identity service said stays inside."""

    class Refused:
        async def get_token(self, *_: object, **__: object) -> NoReturn:
            message = "secret words"
            raise ClientAuthenticationError(message)

    tables = AzureTables.from_endpoint("https://127.0.0.1:1", cast("AsyncTokenCredential", Refused()))
    failures = await outcomes(tables)
    await tables.aclose()

    check_unavailable(failures)


@asynccontextmanager
async def losing_answers(port: int, count: int) -> AsyncIterator[AzureTables]:
    """Yield tables behind a proxy that passes requests on, but not the first `count` answers to writes."""
    left = count

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        async with connection(port) as (there, back):
            while request := await reader.read(1 << 16):
                back.write(request)
                answer = await there.read(1 << 16)
                if left and not request.startswith(b"GET"):
                    left -= 1
                    break
                writer.write(answer)

    async with served(handle) as tables:
        yield tables


async def test_a_write_whose_answer_was_lost_can_meet_itself(azurite: int, connection: str, table: str) -> None:
    """It took effect, its repetition fails by that, and the row tells whose write it was."""
    direct = AzureTables.from_connection_string(connection)
    await direct.commit(table, [Upsert(ROW)])
    [etag] = await direct.commit(table, [Upsert(ROW)])
    repeated = [
        ([Replace(Row("p", "a", {"by": "me"}, etag))], RowChanged),
        ([Insert(Row("p", "b", {"by": "me"}))], RowExists),
        ([Insert(Row("p", "c", {"by": "me"})), Insert(Row("p", "d", {"by": "me"}))], RowExists),
    ]
    for writes, error in repeated:
        async with losing_answers(azurite, 1) as tables:
            with pytest.raises(error):
                await tables.commit(table, writes)
    found = await direct.query(table, Span("p"))
    async with losing_answers(azurite, 1) as tables:
        with pytest.raises(RowChanged):
            await tables.commit(table, [Delete("p", "a")])
    gone = await direct.get(table, "p", "a")
    await direct.aclose()

    assert {row.key: row.values for row in found.rows} == {key: {"by": "me"} for key in "abcd"}
    assert gone is None


async def test_a_repetition_that_meets_no_condition_succeeds(azurite: int, table: str) -> None:
    """An upsert can be repeated as it is, and so can reads."""
    async with losing_answers(azurite, 2) as tables:
        await tables.commit(table, [Upsert(ROW)])
        found = await tables.get(table, "p", "a")

    assert found is not None
    assert found.values == {"n": 1}


@pytest.mark.filterwarnings("ignore:Testing an element:DeprecationWarning")  # the SDK does, of an error in XML
async def test_wrong_keys_of_an_account_are_unavailable(connection: str, table: str) -> None:
    """To the caller it is a dependency that does not work; what was signed stays inside."""
    tables = AzureTables.from_connection_string(connection.replace("AccountKey=E", "AccountKey=F"))
    failures = await outcomes(tables)
    await tables.aclose()

    check_unavailable(failures)


async def test_closed_tables_can_be_closed_again_and_used_again(connection: str, table: str) -> None:
    """Closing lets go of connections, nothing more."""
    tables = AzureTables.from_connection_string(connection)
    await tables.aclose()
    await tables.commit(table, [Insert(ROW)])
    await tables.aclose()
    await tables.aclose()
    found = await tables.get(table, "p", "a")
    await tables.aclose()

    assert found is not None


def test_importing_and_making_the_adapter_imports_no_sdk() -> None:
    """A cold start pays for the SDK with its first request, not before, and needs no valid settings to index."""
    script = (
        "import sys; from adapters.azure_tables import AzureTables; AzureTables.from_connection_string('');"
        "AzureTables.from_endpoint('', None);"
        "sys.exit(any(name.startswith(('azure', 'aiohttp')) for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
