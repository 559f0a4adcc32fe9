"""The places at which a process may die: before each commit that writes, each call that changes something outside, and
each file that is stored.

What has been done when it dies after one of them is what has been done when it dies before the next one. So a death
before each, and a life to the end, are a death before and after each.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn
from unittest.mock import patch
from urllib.parse import urlsplit

# Of the statements that Django and the ledger make, those that write, and the table that they write to.
WRITING = re.compile(r'^\s*(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"|(ledger_post)\(')
# Asking changes nothing: a death after a question is one before it. A chain is asked by POST, and often.
CHANGES_CHAIN = re.compile(r"^eth_send")
IDS = re.compile(r"/(?!v\d/)[^/]*[0-9A-Z][^/]*")


class Fuse:
    """Passes the points of one life one after the other, and ends it with SIGKILL at the point `kill_at`."""

    def __init__(self, journal: int, kill_at: int | None, last_words: Callable[[], None]) -> None:
        self._journal = journal
        self._left = kill_at
        self._last_words = last_words

    def reach(self, point: str) -> None:
        os.write(self._journal, f"{point}\n".encode())
        if self._left == 0:
            self._last_words()
            die()
        if self._left is not None:
            self._left -= 1


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class Crash(BaseException):
    """The process has died here, as far as the code under test can tell. Not an Exception: nothing catches it."""


@contextmanager
def broken_off(at: int | None) -> Iterator[None]:
    """Inside the transaction of a test: before the write or call of this number the act ends with a Crash, which is
    caught here. What it was in the middle of is rolled back, what it had finished stays."""
    import psycopg
    from django.db import connection

    from lib import http

    execute, send, left = psycopg.Cursor.execute, http._session.send, at

    def reach() -> None:
        nonlocal left
        if left == 0:
            raise Crash
        if left is not None:
            left -= 1

    def watched_execute(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        if left is not None and WRITING.search(str(query)):
            reach()
        return execute(cursor, query, *args, **options)

    def watched_send(request: Any, **options: Any) -> Any:
        if _name(request):
            reach()
        return send(request, **options)

    with (
        patch.object(psycopg.Cursor, "execute", watched_execute),
        patch.object(http._session, "send", watched_send),
        suppress(Crash),
    ):
        yield
    connection.needs_rollback = False  # what was open is rolled back; the test's own transaction goes on


def arm(fuse: Fuse) -> None:
    """From now on in this process."""
    _watch_database(fuse)
    _watch_calls(fuse)
    _watch_files(fuse)


def _watch_database(fuse: Fuse) -> None:
    """Below Django, as the ledger has a cursor of its own."""
    import psycopg

    execute, commit, rollback = psycopg.Cursor.execute, psycopg.Connection.commit, psycopg.Connection.rollback
    written: list[str] = []  # in the open transaction

    def watched_execute(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        found = WRITING.search(str(query))
        if found:
            table = found[1] or found[2]
            if cursor.connection.autocommit:
                fuse.reach(f"commit {table}")
            elif table not in written:
                written.append(table)
        return execute(cursor, query, *args, **options)

    def watched_commit(connection: Any) -> None:
        if written:
            fuse.reach(f"commit {' '.join(written)}")
            written.clear()
        commit(connection)

    def watched_rollback(connection: Any) -> None:
        written.clear()
        rollback(connection)

    psycopg.Cursor.execute = watched_execute  # type: ignore[assignment, method-assign]
    psycopg.Connection.commit = watched_commit  # type: ignore[assignment, method-assign]
    psycopg.Connection.rollback = watched_rollback  # type: ignore[assignment, method-assign]


def _watch_calls(fuse: Fuse) -> None:
    """All outgoing calls go through one session: PayPal's, Stripe's and those to chains."""
    from lib import http

    send = http._session.send

    def watched_send(request: Any, **options: Any) -> Any:
        point = _name(request)
        if point:
            fuse.reach(point)
        return send(request, **options)

    http._session.send = watched_send  # type: ignore[method-assign]


def _watch_files(fuse: Fuse) -> None:
    from django.core.files.storage import FileSystemStorage

    save = FileSystemStorage._save  # type: ignore[attr-defined]

    def watched_save(storage: Any, name: str, content: Any) -> str:
        fuse.reach("store file")
        saved: str = save(storage, name, content)
        return saved

    FileSystemStorage._save = watched_save  # type: ignore[attr-defined]


def _name(request: Any) -> str:
    """Of a call that may change something; empty for a question."""
    try:
        method = json.loads(request.body or b"")["method"]
    except (ValueError, LookupError, TypeError):
        path = IDS.sub("/…", urlsplit(request.url).path)
        return "" if request.method == "GET" else f"{request.method} {path}"
    return f"chain {method}" if CHANGES_CHAIN.match(method) else ""
