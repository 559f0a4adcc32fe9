"""Two real connections at the same account, hold or id: one result, never two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of
from billing.models import Transfer
from lib.clock import now
from tests.billing.money import fund, leg, opening

pytestmark = pytest.mark.django_db(transaction=True)


def together(acts: Sequence[Callable[[], None]]) -> list[str]:
    """Run each act in a thread with a connection of its own, all begun before any posts. What each came to."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], None]) -> str:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                barrier.wait(timeout=10)
                act()
        except (ledger.LedgerError, ledger.Overdraft) as refusal:
            return type(refusal).__name__
        finally:
            connections.close_all()
        return "ok"

    with ThreadPoolExecutor(len(acts)) as threads:
        return sorted(threads.map(run, acts))


@pytest.fixture
def customer() -> Organisation:
    return Organisation.objects.create(name="racer")


def test_two_payments_of_one_balance(customer: Organisation) -> None:
    wallet, revenue = fund(customer, "10"), account_of(None, Kind.REVENUE, "USD")
    pay = [lambda: ledger.post([leg(wallet, revenue, "7")])] * 2
    assert together(pay) == ["Overdraft", "ok"]
    assert ledger.available(wallet) == 3


def test_two_captures_of_one_hold(customer: Organisation) -> None:
    wallet, revenue = fund(customer, "10"), account_of(None, Kind.REVENUE, "USD")
    held = uuid4()
    columns = {"state": Transfer.State.PENDING, "expires_at": now() + timedelta(hours=1)}
    ledger.post([leg(wallet, revenue, "8", id=held, **columns)])
    capture = [lambda: ledger.capture(held, Decimal(8), id=uuid4())] * 2
    assert together(capture) == ["HoldSettled", "ok"]
    assert ledger.available(wallet) == 2


def test_the_same_id_from_two_sides(customer: Organisation) -> None:
    wallet, revenue = fund(customer, "10"), account_of(None, Kind.REVENUE, "USD")
    paid = leg(wallet, revenue, "7")
    assert together([lambda: ledger.post([paid])] * 2) == ["ok", "ok"]
    assert ledger.available(wallet) == 3


def test_one_id_with_two_bodies_that_share_no_account(customer: Organisation) -> None:
    """Nothing makes these wait for each other but the id itself."""
    other = Organisation.objects.create(name="other")
    first, second = fund(customer, "10"), fund(other, "10")
    id = uuid4()
    acts = [
        lambda: ledger.post([leg(first, account_of(None, Kind.REVENUE, "USD", label="a"), "1", id=id)]),
        lambda: ledger.post([leg(second, account_of(None, Kind.REVENUE, "USD", label="b"), "1", id=id)]),
    ]
    assert together(acts) == ["DifferentBody", "ok"]
    assert ledger.available(first) + ledger.available(second) == 19


def test_accounts_in_opposite_order_do_not_wait_in_a_ring(customer: Organisation) -> None:
    other = Organisation.objects.create(name="other")
    first, second = fund(customer, "100"), fund(other, "100")
    forth = [leg(first, second, "1") for _ in range(50)]
    back = [leg(second, first, "1") for _ in range(50)]
    assert together([lambda: ledger.post(forth), lambda: ledger.post(back)] * 2) == ["ok"] * 4
    assert ledger.available(first) == 100


def test_a_hot_account(customer: Organisation) -> None:
    wallet, hot = fund(customer, "100"), account_of(None, Kind.REVENUE, "USD", label="hot")
    acts = [lambda: ledger.post([leg(wallet, hot, "1"), leg(opening(), hot, "1")])] * 6
    assert together(acts) == ["ok"] * 6
    hot.refresh_from_db()
    assert hot.credits_posted == 12
    assert ledger.available(wallet) == 94
