"""The durable state of one peer: JSON documents by kind and id, and named values, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Document = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, id)
);
CREATE TABLE IF NOT EXISTS named (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""


class Store:
    """Every write is on disk when the call returns, or when the outermost `together` block ends."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
        # One event loop, one thread: the connection is used from nowhere else.
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes of the block, or none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(self, kind: str, id: str, body: Document) -> None:
        self._db.execute(
            "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (kind, id, json.dumps(body)),
        )

    def get(self, kind: str, id: str) -> Document | None:
        row = self._db.execute("SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str) -> list[Document]:
        """In the order in which they were first put."""
        rows = self._db.execute("SELECT body FROM documents WHERE kind = ? ORDER BY number", (kind,))
        return [json.loads(row[0]) for row in rows]

    def delete(self, kind: str, id: str) -> None:
        self._db.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))

    def value(self, name: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT body FROM named WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_value(self, name: str, body: Any) -> None:
        self._db.execute(
            "INSERT INTO named (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
            (name, json.dumps(body)),
        )

    def clear(self) -> None:
        with self.together():
            self._db.execute("DELETE FROM documents")
            self._db.execute("DELETE FROM named")

    def close(self) -> None:
        self._db.close()
