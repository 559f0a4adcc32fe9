"""The books against themselves, all of them as they stood at one moment: money moves while we look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from billing import ledger, lots
from billing.payouts import usdc
from billing.reconcile import check_clearing

CHECKS = {"ledger": ledger.check, "credits": lots.check, "clearing": check_clearing, "conversion": usdc.check}


def check_books() -> dict[str, list[str]]:
    """What does not balance, one line each, by the name of the check."""
    with _one_moment():
        return {name: check() for name, check in CHECKS.items()}


@contextmanager
def _one_moment() -> Iterator[None]:
    """All queries see the same. A transaction that has begun keeps its own way: the first query decides."""
    begun = connection.in_atomic_block
    with transaction.atomic():
        if not begun:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
