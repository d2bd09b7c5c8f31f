"""Entity states and undelivered signals in SQLite; what was acknowledged survives a crash of the process."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from devhost.durable.protocol import BatchResult, EntityId, EntityState, Signal
from devhost.errors import StartupError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (
    name TEXT NOT NULL, key TEXT NOT NULL, state TEXT, last_operation TEXT NOT NULL,
    PRIMARY KEY (name, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signal (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, operation TEXT NOT NULL, input TEXT
);
CREATE INDEX IF NOT EXISTS signal_of_entity ON signal (name, key, sequence);
"""


class EntityStore:
    """The storage of the entity scheduler; used from one thread, each call is one transaction.

    Write-ahead log with `synchronous=NORMAL`: a commit is handed to the operating system when it returns, so that a
    killed process loses nothing and no call waits for the disk. A power cut may lose the last commits, but never
    consistency, which is acceptable on a developer's machine. The file is locked for one host, because two schedulers
    would run the same signals twice.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the database file.

        Raises:
            StartupError: Another host uses the file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise StartupError(
                f"{path} is in use by another host; give this one another directory with --state"
            ) from error

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def enqueue(self, entity: EntityId, signal: Signal) -> None:
        """Append a signal to the entity's others; it is stored durably when this returns."""
        self._insert([(entity, signal)])

    def pending(self, entity: EntityId, limit: int) -> list[tuple[int, Signal]]:
        """Return the oldest undelivered signals of an entity with their sequence numbers, at most `limit`."""
        rows = self._db.execute(
            "SELECT sequence, id, operation, input FROM signal WHERE name = ? AND key = ? ORDER BY sequence LIMIT ?",
            (entity.name, entity.key, limit),
        )
        return [(sequence, Signal(identity, operation, text)) for sequence, identity, operation, text in rows]

    def entities_with_signals(self) -> list[EntityId]:
        """Return every entity that has undelivered signals, oldest signal first."""
        rows = self._db.execute("SELECT name, key FROM signal GROUP BY name, key ORDER BY min(sequence)")
        return [EntityId(*row) for row in rows]

    def state(self, entity: EntityId) -> EntityState:
        """Return an entity's last committed state."""
        row = self._db.execute(
            "SELECT state FROM entity WHERE name = ? AND key = ?", (entity.name, entity.key)
        ).fetchone()
        return EntityState(False, None) if row is None else EntityState(True, row[0])

    def commit(
        self, entity: EntityId, consumed: Sequence[int], result: BatchResult, outbox: Sequence[Signal], now: datetime
    ) -> None:
        """Write a batch's state, delete its signals and store its outgoing ones, in one transaction.

        Args:
            entity: The entity.
            consumed: Sequence numbers of the batch's signals.
            result: The result of the batch.
            outbox: The result's outgoing signals, in its order, with their ids.
            now: The time of the last operation, aware.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if result.state.exists:
                self._db.execute(
                    "INSERT INTO entity VALUES (?, ?, ?, ?) ON CONFLICT (name, key) DO UPDATE"
                    " SET state = excluded.state, last_operation = excluded.last_operation",
                    (entity.name, entity.key, result.state.value, now.astimezone(UTC).isoformat()),
                )
            else:
                self._db.execute("DELETE FROM entity WHERE name = ? AND key = ?", (entity.name, entity.key))
            self._db.executemany("DELETE FROM signal WHERE sequence = ?", [(sequence,) for sequence in consumed])
            self._insert((target, signal) for (target, _, _), signal in zip(result.outbox, outbox, strict=True))
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def list(
        self, name: str | None, since: str, until: str, after: tuple[str, str], limit: int
    ) -> "list[tuple[EntityId, str, str | None]]":
        """Return `(id, time of last operation, state)` of at most `limit` entities after `after`, by name and key."""
        rows = self._db.execute(
            "SELECT name, key, last_operation, state FROM entity WHERE (? IS NULL OR name = ?)"
            " AND last_operation BETWEEN ? AND ? AND (name, key) > (?, ?) ORDER BY name, key LIMIT ?",
            (name, name, since, until, *after, limit),
        )
        return [(EntityId(*row[:2]), row[2], row[3]) for row in rows]

    def _insert(self, signals: Iterable[tuple[EntityId, Signal]]) -> None:
        self._db.executemany(
            "INSERT INTO signal (name, key, id, operation, input) VALUES (?, ?, ?, ?, ?)",
            [(entity.name, entity.key, signal.id, signal.operation, signal.input) for entity, signal in signals],
        )
