"""Usage is paid from a hold: 85 % to the operator, the provider its price, credits in credits; and the end of the money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import Organisation
from billing import ledger, usage, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.models import Account, Transfer
from billing.usage import NextHold, Settled
from tests.billing.money import fund


def settle(hold_id: UUID | None, organisation: Organisation, amount: str, **columns: Any) -> Settled:
    defaults: dict[str, Any] = {
        "currency": "USD",
        "usage_id": uuid4(),
        "operator": None,
        "provider_slug": "catalyst",
        "keep_open": None,
        "memo": "trainer",
    }
    return usage.settle(hold_id, organisation=organisation, amount=Decimal(amount), **{**defaults, **columns})


def reserve(organisation: Organisation, amount: str, currency: str = "USD") -> UUID:
    id = uuid4()
    usage.reserve(
        organisation, payer="wallet", currency=currency, amount=Decimal(amount), source_id=uuid4(), hold_id=id
    )
    return id


def earned(kind: str, currency: str = "USD", **columns: Any) -> Decimal:
    rows = Account.objects.filter(kind=kind, currency=currency, **columns)
    return sum((row.credits_posted - row.debits_posted for row in rows), Decimal(0))


def test_the_operator_earns_85_percent(organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "10")
    held = reserve(organisation, "2")
    settled = settle(held, organisation, "1.234567", operator=operator)
    assert settled == Settled(Decimal("1.234567"), None, Decimal(0))
    assert earned(Kind.EARNINGS, organisation=operator) == Decimal("1.049382")
    assert earned(Kind.REVENUE) == Decimal("0.185185")
    assert wallet.balance(organisation, "USD") == wallet.Balance("USD", Decimal("8.765433"), Decimal(0))


def test_our_own_nodes_earn_for_us_and_a_provider_is_owed_its_price(organisation: Organisation) -> None:
    fund(organisation, "10")
    settle(reserve(organisation, "2"), organisation, "1")
    settle(reserve(organisation, "2"), organisation, "0.5", provider_slug="vast")
    assert earned(Kind.REVENUE) == 1
    assert earned(Kind.PROVIDER_COST, label="vast") == Decimal("0.5")


def test_credits_pay_in_credits_alone(organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "10", "CREDIT")
    held = reserve(organisation, "1", "CREDIT")
    settle(held, organisation, "0.25", currency="CREDIT", operator=operator)
    assert earned(Kind.REVENUE, "CREDIT") == Decimal("0.25")
    assert not Transfer.objects.filter(currency="USD").exists()
    assert wallet.balances(organisation) == {"USD": 0, "CREDIT": Decimal("9.75")}


def test_the_smallest_sum_goes_whole_to_one_side(organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "1")
    settle(reserve(organisation, "0.5"), organisation, "0.000001", operator=operator)
    assert earned(Kind.EARNINGS, organisation=operator) + earned(Kind.REVENUE) == Decimal("0.000001")


def test_each_settlement_opens_the_next_hold(organisation: Organisation) -> None:
    fund(organisation, "10")
    held = reserve(organisation, "2")
    for minute in range(1, 4):
        coming = NextHold(uuid4(), Decimal(2))
        settled = settle(held, organisation, "0.1", keep_open=coming)
        assert settled == Settled(Decimal("0.1"), coming.hold_id, Decimal(2))
        held = coming.hold_id
        assert wallet.balance(organisation, "USD") == wallet.Balance("USD", 8 - minute * Decimal("0.1"), Decimal(2))
    assert wallet.burn_per_hour(organisation, "USD") == 8
    runway = wallet.runway(organisation, Decimal(8))
    assert runway is not None
    assert runway.total_seconds() == int(Decimal("9.7") / 8 * 3600)


def test_the_same_usage_is_charged_once(organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "10")
    held, usage_id, coming = reserve(organisation, "2"), uuid4(), NextHold(uuid4(), Decimal(2))
    answers = [
        settle(held, organisation, "1", usage_id=usage_id, operator=operator, keep_open=coming) for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert wallet.balance(organisation, "USD") == wallet.Balance("USD", Decimal(7), Decimal(2))


def test_more_than_was_held_is_taken_from_the_wallet(organisation: Organisation, operator: Organisation) -> None:
    """Metering was away for an hour: the pod ran, so it is paid."""
    fund(organisation, "10")
    held = reserve(organisation, "0.1")
    assert settle(held, organisation, "6", operator=operator).charged == 6
    assert earned(Kind.EARNINGS, organisation=operator) == Decimal("5.1")
    assert settle(reserve(organisation, "0.1"), organisation, "3").charged == 3
    assert wallet.balances(organisation)["USD"] == 1


def test_the_end_of_the_money_is_told_in_time(organisation: Organisation) -> None:
    fund(organisation, "3")
    held = reserve(organisation, "2")
    warned = settle(held, organisation, "1.5", keep_open=NextHold(uuid4(), Decimal(2)))
    assert (warned.charged, warned.held, warned.short, warned.exhausted) == (
        Decimal("1.5"),
        Decimal("1.5"),
        True,
        False,
    )
    assert not usage.can_go_on(organisation, "USD")
    over = settle(warned.hold_id, organisation, "1.7", keep_open=NextHold(uuid4(), Decimal(2)))
    assert (over.charged, over.hold_id, over.exhausted) == (Decimal("1.5"), None, True)
    after = settle(None, organisation, "0.2")
    assert (after.charged, after.exhausted) == (Decimal(0), True)
    assert wallet.balance(organisation, "USD") == wallet.Balance("USD")


def test_a_hold_that_expired_is_charged_from_the_wallet(organisation: Organisation) -> None:
    fund(organisation, "3")
    held = reserve(organisation, "2")
    ledger.release(held, id=uuid4())
    coming = NextHold(uuid4(), Decimal(1))
    assert settle(held, organisation, "1", keep_open=coming) == Settled(Decimal(1), coming.hold_id, Decimal(1))


def test_no_reserve_without_money(organisation: Organisation) -> None:
    with pytest.raises(ledger.Overdraft):
        reserve(organisation, "0.01")
    usage.reserve(organisation, payer="own_key", currency="USD", amount=Decimal(5), source_id="x", hold_id=uuid4())
    assert not Transfer.objects.exists()


def test_a_hold_is_given_back_once(organisation: Organisation) -> None:
    fund(organisation, "3")
    held = reserve(organisation, "2")
    usage.release(held)
    usage.release(held)
    assert wallet.balance(organisation, "USD") == wallet.Balance("USD", Decimal(3), Decimal(0))


def test_reserve_amount_is_a_quarter_of_an_hour() -> None:
    assert usage.reserve_amount(Decimal("4")) == 1
    assert usage.reserve_amount(Decimal("0.000001")) == Decimal("0.000001")


def test_wallets_of_organisations_are_their_own(organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "3")
    assert wallet.balances(operator) == {"USD": 0, "CREDIT": 0}
    assert wallet_of(organisation, "USD") != wallet_of(operator, "USD")
    assert account_of(organisation, Kind.EARNINGS, "USD") != wallet_of(organisation, "USD")
