"""What is special about tables in a file: other processes, other files, and what a death leaves behind."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapters.database_file import FORMAT, DatabaseFile, NotOurFile
from adapters.file_tables import FileTables
from kernel.errors import Unavailable
from kernel.tables import Insert, Row, Span, every

INCREMENT = """
import asyncio, sys
from pathlib import Path
from adapters.file_tables import FileTables
from kernel.tables import Insert, Replace, Row, RowChanged, RowExists

async def main():
    tables = FileTables(Path(sys.argv[1]))
    for _ in range(50):
        while True:
            found = await tables.get("counters", "p", "n")
            row = Row("p", "n", {"n": found.integer("n") + 1 if found else 1}, found.etag if found else "")
            try:
                await tables.commit("counters", [Replace(row) if found else Insert(row)])
            except (RowChanged, RowExists):
                continue
            break
    await tables.aclose()

asyncio.run(main())
"""
WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from adapters.file_tables import FileTables
from kernel.tables import Insert, Row

async def main():
    tables = FileTables(Path(sys.argv[1]))
    for number in range(1_000_000):
        await tables.commit("numbers", [Insert(Row("p", f"{number:07}{half}", {"n": number})) for half in "ab"])
        print(number, flush=True)

asyncio.run(main())
"""


async def rows(path: Path, table: str) -> list[Row]:
    """Return the rows of partition `p`."""
    tables = FileTables(path)
    try:
        return [row async for row in every(tables, table, Span("p"))]
    finally:
        await tables.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "storage.db"


async def test_whoever_opens_a_file_that_is_being_made_finds_it_whole(tmp_path: Path) -> None:
    """Twenty new files, each opened by eight at the same moment."""
    for number in range(20):
        files = [DatabaseFile(tmp_path / f"{number}.db") for _ in range(8)]
        counting = (
            file.run(lambda opened: opened.execute("SELECT COUNT(*) FROM stored_rows").fetchone()) for file in files
        )
        counts = await asyncio.gather(*counting)
        for file in files:
            await file.aclose()

        assert counts == [(0,)] * 8


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    """Four processes that open a new file at the same time, and each add 50 to a counter, add 200."""
    processes = [subprocess.Popen([sys.executable, "-c", INCREMENT, path], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate()[1].decode() for process in processes]
    [counter] = asyncio.run(rows(path, "counters"))

    assert errors == [""] * 4
    assert counter.integer("n") == 200


def test_what_was_committed_survives_a_killed_process_and_nothing_is_there_by_half(path: Path) -> None:
    """Each commit writes two rows; the file is good right after the kill."""
    process = subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20:
        pass
    process.send_signal(signal.SIGKILL)
    last = [20, *map(int, process.communicate()[0].split())][-1]
    found = asyncio.run(rows(path, "numbers"))

    assert len(found) % 2 == 0
    assert len(found) // 2 in {last + 1, last + 2}  # the last commit may have been made and not said


async def test_a_file_is_the_same_after_it_was_closed(path: Path) -> None:
    """ETags too, and the same object can go on."""
    tables = FileTables(path)
    [etag] = await tables.commit("things", [Insert(Row("p", "a", {"n": 1}))])
    await tables.aclose()
    again = await tables.get("things", "p", "a")
    await tables.aclose()
    await tables.aclose()

    assert again == Row("p", "a", {"n": 1}, etag)


async def test_only_its_owner_can_read_the_file(path: Path) -> None:
    """It holds conversations; the log beside it, too."""
    tables = FileTables(path)
    await tables.commit("things", [Insert(Row("p", "a", {}))])
    modes = {file.name: oct(file.stat().st_mode & 0o077) for file in path.parent.iterdir()}
    await tables.aclose()

    assert "storage.db" in modes
    assert set(modes.values()) == {"0o0"}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("not a database, whatever its name says" * 30, "storage_file_invalid"),
        ("CREATE TABLE theirs (n)", "storage_file_invalid"),
        (f"PRAGMA user_version = {FORMAT + 1}", "storage_file_newer"),
    ],
    ids=["text", "another program's", "a later version's"],
)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(path: Path, content: str, code: str) -> None:
    """By one error that names the file, and nothing is written to it."""
    path.parent.mkdir()
    if code == "storage_file_invalid" and content.startswith("not"):
        path.write_text(content)
    else:
        connection = sqlite3.connect(path)
        connection.execute(content)
        connection.close()
    before = path.read_bytes()
    with pytest.raises(NotOurFile, match=path.name) as caught:
        asyncio.run(rows(path, "things"))

    assert caught.value.code == code
    assert path.read_bytes() == before


async def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """A folder's name that is a file's."""
    (tmp_path / "file").write_text("")
    tables = FileTables(tmp_path / "file" / "storage.db")
    with pytest.raises(Unavailable) as caught:
        await tables.get("things", "p", "a")
    await tables.aclose()

    assert caught.value.code == "storage_unavailable"


FAILS_AT_ITS_END = """
PRAGMA foreign_keys = ON;
CREATE TABLE parents (id INTEGER PRIMARY KEY);
CREATE TABLE orphans (parent REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER orphaned AFTER INSERT ON stored_rows BEGIN INSERT INTO orphans VALUES (1); END;
"""


async def test_a_commit_that_fails_at_its_very_end_leaves_no_transaction_open(path: Path) -> None:
    """The next one would fail, too, and all after it."""
    tables = FileTables(path)
    await tables._file.run(lambda connection: connection.executescript(FAILS_AT_ITS_END))
    with pytest.raises(NotOurFile):
        await tables.commit("things", [Insert(Row("p", "first", {}))])
    await tables._file.run(lambda connection: connection.execute("DROP TRIGGER orphaned"))
    await tables.commit("things", [Insert(Row("p", "second", {}))])
    await tables.aclose()

    assert [row.key for row in await rows(path, "things")] == ["second"]


async def test_a_full_disk_is_unavailable_until_there_is_room(path: Path) -> None:
    tables = FileTables(path)
    await tables.commit("things", [Insert(Row("p", "first", {}))])
    [pages] = await tables._file.run(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    await tables._file.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(Unavailable):
        await tables.commit("things", [Insert(Row("p", "large", {"text": "x" * 30_000}))])
    await tables._file.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    await tables.commit("things", [Insert(Row("p", "second", {}))])
    await tables.aclose()

    assert [row.key for row in await rows(path, "things")] == ["first", "second"]


async def test_what_is_asked_for_while_the_file_is_closed_waits_for_that(path: Path) -> None:
    file, order, gate = DatabaseFile(path), list[str](), threading.Event()

    def first(_: sqlite3.Connection) -> None:
        gate.wait(0.3)
        order.append("first")

    slow = asyncio.create_task(file.run(first))
    await asyncio.sleep(0)
    closing = asyncio.create_task(file.aclose())
    await asyncio.sleep(0)
    await file.run(lambda _: order.append("second"))
    await asyncio.gather(slow, closing)
    await file.aclose()

    assert order == ["first", "second"]
