"""The SQLite file of the library, used from a thread of its own: see `file_tables` and `file_texts`.

Several processes of one machine may use the file at once: writes wait for each other (at most 30 s), reads do not. The
file must be on a local disk, because SQLite's write-ahead log needs shared memory (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from kernel.errors import AppError, Unavailable

T = TypeVar("T")
FORMAT = 1
"""The version of the schema, stored in the file; a file of a later one is refused."""
_BUSY_S = 30
_LOOK_AGAIN_S = 0.02
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS stored_rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- of each write another, so that it serves as the ETag
    table_name TEXT NOT NULL,
    partition_key BLOB NOT NULL, -- keys as UTF-16, in whose order rows are
    row_key BLOB NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (table_name, partition_key, row_key)
);
CREATE TABLE IF NOT EXISTS stored_texts (key TEXT PRIMARY KEY, content BLOB NOT NULL);
PRAGMA user_version = {FORMAT};
"""


class NotOurFile(AppError):
    """The file cannot be used as storage."""

    code = "storage_file_invalid"


class DatabaseFile:
    """Runs functions of the connection, one at a time; connects on first use, and again after it was closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Call `work` with the connection and return its result. If the caller is cancelled, it may have been done.

        Raises:
            Unavailable: Another process locked the file for too long, or the disk is full or failing.
            NotOurFile: The file is something else, or of a later version.
        """
        async with self._turn:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="storage")
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    async def aclose(self) -> None:
        """Close the file; it can be used again."""
        async with self._turn:  # what is asked for meanwhile connects again, in a new thread
            thread, self._thread = self._thread, None
            if thread is not None:
                await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
                thread.shutdown(wait=False)

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connected()
            return work(self._connection)
        except (sqlite3.OperationalError, OSError) as error:
            msg = f"The storage file cannot be used now ({type(error).__name__}: {error})."
            raise Unavailable(msg, code="storage_unavailable") from None
        except sqlite3.DatabaseError as error:
            msg = f"{self._path.name} is not a storage file, or damaged ({error})."
            raise NotOurFile(msg) from None

    def _connected(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # the file contains conversations: readable by its owner only
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        until = time.monotonic() + _BUSY_S
        while True:
            connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                _prepare(connection, self._path)
            except sqlite3.OperationalError:
                connection.close()
                # While several processes create the file, changing its journal mode does not wait for locks, unlike all
                # else.
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_AGAIN_S)
            except BaseException:
                connection.close()
                raise
            else:
                return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) < FORMAT:
        # Checked under the lock under which the schema is created, because several processes may create the file.
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection, path) < FORMAT:
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                msg = f"{path.name} is another program's database."
                raise NotOurFile(msg)
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")  # stored in the file; cannot be set in a transaction
    connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power failure


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of the file; 0 for one that is empty or has none."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        msg = f"{path.name} was written by a later version; install that version."
        raise NotOurFile(msg, code="storage_file_newer")
    return int(version)
