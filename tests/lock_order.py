"""One order of locks in all transactions: accounts of the ledger first, the chain of the audit log last.

Two transactions of one organisation that take them in both orders may each wait for the other, and the database then ends
one of them. This watches every transaction of the test suite; a test in which one posts after it has recorded fails.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

POSTS = "ledger_post("
CHAIN = "audit:"  # how accounts.audit names the locks of its chains
_found: list[str] = []
_held = threading.local()


def taken_in_wrong_order() -> list[str]:
    """Where, since the last time."""
    found = _found[:]
    _found.clear()
    return found


@pytest.fixture(scope="session", autouse=True)
def _watch() -> Iterator[None]:
    from django.db.transaction import Atomic, get_connection

    execute, leave = psycopg.Cursor.execute, Atomic.__exit__

    def watched_execute(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
        if isinstance(params, list | tuple) and params and str(params[0]).startswith(CHAIN):
            _held.chain = True
        elif POSTS in str(query) and getattr(_held, "chain", False):
            _found.append("".join(traceback.format_stack(limit=12)[:-1]))
        return execute(cursor, query, params, **options)

    def watched_leave(block: Any, *error: Any) -> None:
        try:
            leave(block, *error)
        finally:
            # What a test itself has open is no transaction of ours.
            if all(outer._from_testcase for outer in get_connection(block.using).atomic_blocks):
                _held.chain = False

    with patch.object(psycopg.Cursor, "execute", watched_execute), patch.object(Atomic, "__exit__", watched_leave):
        yield


@pytest.fixture(autouse=True)
def _one_order() -> Iterator[None]:
    yield
    found = taken_in_wrong_order()
    assert not found, "recorded in the audit log before it posted to the ledger:\n" + "\n".join(found)
