"""Trying something on rows that others still need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undone() -> Iterator[None]:
    """What happens inside is rolled back. Outgoing calls are allowed, as in the block that a test case itself opens."""
    from django.db import transaction

    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with block:
        yield
        transaction.set_rollback(True)
