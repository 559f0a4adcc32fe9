"""The ledger's one function: all legs or none, the same id once, never below zero."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.models import Account, Transfer
from lib.clock import now
from tests.billing.money import fund, leg, opening

LATER = timedelta(hours=1)


def hold(wallet: Account, other: Account, amount: str) -> UUID:
    held = uuid4()
    columns = {"state": Transfer.State.PENDING, "expires_at": now() + LATER}
    ledger.post([leg(wallet, other, amount, id=held, **columns)])
    return held


def test_all_legs_or_none(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    with pytest.raises(ledger.Overdraft) as refused:
        ledger.post([leg(wallet, revenue, "4"), leg(wallet, revenue, "7")])
    assert refused.value.account_id == wallet.pk
    assert refused.value.status == 402
    assert ledger.available(wallet) == 10  # and the transaction is still usable
    ledger.post([leg(wallet, revenue, "4"), leg(wallet, revenue, "6")])
    assert ledger.available(wallet) == 0


def test_money_may_pass_through_an_account_in_one_call(organisation: Organisation, operator: Organisation) -> None:
    first, second = wallet_of(organisation, "USD"), wallet_of(operator, "USD")
    ledger.post([leg(first, second, "5"), leg(opening(), first, "5")])
    assert ledger.available(first) == 0
    assert ledger.available(second) == 5


def test_the_same_id_is_answered_again_and_another_body_refused(organisation: Organisation) -> None:
    wallet = fund(organisation, "10")
    paid = leg(wallet, account_of(None, Kind.REVENUE, "USD"), "4")
    for _ in range(3):
        ledger.post([paid])
    assert ledger.available(wallet) == 6
    for other in (
        replace(paid, amount=Decimal(5)),
        replace(paid, debit=paid.credit, credit=paid.debit),
        replace(paid, source_id="2"),
    ):
        with pytest.raises(ledger.DifferentBody):
            ledger.post([other])
    assert ledger.available(wallet) == 6


def test_a_batch_in_which_some_legs_are_stored_posts_the_others(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    first, second = leg(wallet, revenue, "1"), leg(wallet, revenue, "2")
    ledger.post([first])
    ledger.post([first, second, second])
    assert ledger.available(wallet) == 7


@pytest.mark.parametrize("amount", ["0", "-1", "0.0000001", "NaN"])
def test_an_amount_that_is_none(organisation: Organisation, amount: str) -> None:
    wallet = fund(organisation, "10")
    with pytest.raises((ledger.LedgerError, ArithmeticError)):
        ledger.post([leg(wallet, opening(), amount)])


def test_currencies_do_not_mix_and_accounts_must_exist(organisation: Organisation) -> None:
    wallet, credits = fund(organisation, "10"), fund(organisation, "10", "CREDIT")
    for wrong in (
        leg(wallet, credits, "1"),
        leg(wallet, opening(), "1", currency="CREDIT"),
        replace(leg(wallet, opening(), "1"), credit=uuid4()),
    ):
        with pytest.raises(ledger.LedgerError):
            ledger.post([wrong])


def test_a_hold_takes_money_out_of_reach_until_it_is_settled(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    held = hold(wallet, revenue, "8")
    assert ledger.available(wallet) == 2
    with pytest.raises(ledger.Overdraft):
        ledger.post([leg(wallet, revenue, "3")])
    ledger.capture(held, Decimal("3"), id=uuid4())  # in part: the rest is released
    assert ledger.available(wallet) == 7
    revenue.refresh_from_db()
    assert (revenue.credits_posted, revenue.credits_pending) == (Decimal(3), Decimal(0))


def test_a_hold_is_settled_once(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    held, capture_id = hold(wallet, revenue, "8"), uuid4()
    ledger.capture(held, Decimal("8"), id=capture_id)
    ledger.capture(held, Decimal("8"), id=capture_id)  # the same once more
    with pytest.raises(ledger.HoldSettled):
        ledger.capture(held, Decimal("1"), id=uuid4())
    with pytest.raises(ledger.HoldSettled):
        ledger.release(held, id=uuid4())
    assert ledger.available(wallet) == 2


def test_a_capture_must_fit_its_hold(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    held = hold(wallet, revenue, "4")
    with pytest.raises(ledger.LedgerError):
        ledger.capture(held, Decimal("4.000001"), id=uuid4())
    capture = ledger.settling_leg(ledger.find_hold(held), Decimal(1), id=uuid4())
    with pytest.raises(ledger.LedgerError):
        ledger.post([replace(capture, credit=opening().pk)])
    with pytest.raises(ledger.LedgerError):
        ledger.post([capture, replace(capture, id=uuid4())])
    paid = uuid4()
    ledger.post([leg(wallet, revenue, "1", id=paid)])
    with pytest.raises(ledger.LedgerError):
        ledger.capture(paid, Decimal(1), id=uuid4())


def test_an_expired_hold_is_released_once(organisation: Organisation) -> None:
    wallet, revenue = fund(organisation, "10"), account_of(None, Kind.REVENUE, "USD")
    columns = {"state": Transfer.State.PENDING, "expires_at": now() - timedelta(minutes=1)}
    ledger.post([leg(wallet, revenue, "4", **columns)])
    hold(wallet, revenue, "1")
    assert ledger.expire_holds() == 1
    assert ledger.expire_holds() == 0
    assert ledger.available(wallet) == 9


def test_platform_accounts_have_shards() -> None:
    ids = [uuid4() for _ in range(40)]
    shards = {id.int % 16 for id in ids}
    assert len(shards) > 4


@pytest.mark.django_db
def test_the_shard_follows_the_transfer() -> None:
    id = uuid4()
    assert platform_account(Kind.REVENUE, "USD", id) == platform_account(Kind.REVENUE, "USD", id)
    assert platform_account(Kind.REVENUE, "USD", id).shard == id.int % 16


AMOUNTS = st.decimals(min_value="0.000001", max_value="30", places=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.integers(0, 3), st.integers(0, 3), AMOUNTS),
        st.tuples(st.just("hold"), st.integers(0, 3), st.integers(0, 3), AMOUNTS),
        st.tuples(st.just("capture"), st.integers(0, 9), st.integers(0, 3), AMOUNTS),
        st.tuples(st.just("release"), st.integers(0, 9), st.just(0), st.just(Decimal(1))),
        st.tuples(st.just("again"), st.integers(0, 99), st.just(0), st.just(Decimal(1))),
    ),
    min_size=5,
    max_size=30,
)


class Book:
    """The same rules in plain Python: what the ledger must say after each step."""

    def __init__(self, accounts: list[Account]) -> None:
        self.accounts = accounts
        self.posted = [Decimal(0)] * len(accounts)
        self.held = [Decimal(0)] * len(accounts)
        self.holds: list[tuple[UUID, int, int, Decimal, bool]] = []
        self.done: list[list[ledger.Leg]] = []

    def free(self, at: int) -> Decimal:
        return self.posted[at] - self.held[at]

    def move(self, debit: int, credit: int, amount: Decimal) -> None:
        self.posted[debit] -= amount
        self.posted[credit] += amount


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_keeps_the_books(db: None, steps: list[tuple[str, int, int, Decimal]]) -> None:
    with transaction.atomic():
        owners = [Organisation.objects.create(name=f"o{number}") for number in range(4)]
        book = Book([fund(owner, "20") for owner in owners])
        book.posted = [Decimal(20)] * 4
        for kind, first, second, amount in steps:
            play(book, kind, first, second, amount)
            for at, account in enumerate(book.accounts):
                assert ledger.available(account) == book.free(at) >= 0
        assert ledger.check() == []
        transaction.set_rollback(True)


def play(book: Book, kind: str, first: int, second: int, amount: Decimal) -> None:
    if kind in {"post", "hold"}:
        if first != second:
            pay_or_hold(book, kind, first, second, amount)
    elif kind == "again":
        if book.done:
            ledger.post(book.done[first % len(book.done)])
    elif book.holds:
        settle(book, kind, first % len(book.holds), second, amount)


def pay_or_hold(book: Book, kind: str, debit: int, credit: int, amount: Decimal) -> None:
    columns = {"state": Transfer.State.PENDING, "expires_at": now() + LATER} if kind == "hold" else {}
    made = leg(book.accounts[debit], book.accounts[credit], amount, **columns)
    if book.free(debit) < amount:
        with pytest.raises(ledger.Overdraft):
            ledger.post([made])
        return
    ledger.post([made])
    book.done.append([made])
    if kind == "hold":
        book.held[debit] += amount
        book.holds.append((made.id, debit, credit, amount, False))
    else:
        book.move(debit, credit, amount)


def settle(book: Book, kind: str, number: int, other: int, amount: Decimal) -> None:
    held_id, debit, credit, held, settled = book.holds[number]
    taken = min(amount, held) if kind == "capture" else Decimal(0)
    made = [ledger.settling_leg(ledger.find_hold(held_id), taken, id=uuid4())]
    extra = held - taken
    if kind == "capture" and other != debit and extra > 0:
        # What the capture releases can be spent by another leg of the same call.
        made.append(leg(book.accounts[debit], book.accounts[other], extra))
    if settled:
        with pytest.raises(ledger.HoldSettled):
            ledger.post(made)
        return
    ledger.post(made)
    book.done.append(made)
    book.held[debit] -= held
    book.holds[number] = (held_id, debit, credit, held, True)
    if taken:
        book.move(debit, credit, taken)
    if len(made) > 1:
        book.move(debit, other, extra)
