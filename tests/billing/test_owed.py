"""What a customer owes is settled by the next money that comes into that wallet, once, and comes back when it should."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Organisation
from billing import chargebacks, history, ledger, owed, reconcile, refunds
from billing.accounts import Kind, account_of
from billing.models import Payment
from billing.payments import checkout
from billing.payments.services import STRIPE
from billing.payments.services import chargebacks as remote
from billing.payouts import requesting
from tests.billing.earning import earn, later
from tests.billing.money import leg, opening
from tests.billing.stripe import save_card
from tests.billing.taken_back import dispute, pay_by_card, pay_plan_by_card
from tests.billing.test_chargebacks import owed as owed_by
from tests.billing.test_chargebacks import spend, usd
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances() -> Any:
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture
def said(owner: Person, stripe: str) -> Any:
    """What Stripe says of a dispute of 25, of which 20 were spent and are owed."""
    payment = pay_by_card(owner)
    spend(owner, "20")
    found = remote(STRIPE).fetch_chargeback(dispute(stripe, payment))
    chargebacks.learn(STRIPE, found)
    assert [usd(owner), owed_by(payment.organisation)] == [0, 20]
    return found


def top_up(owner: Person, amount: str) -> Payment:
    assert owner.organisation is not None
    payment = checkout.start(
        organisation=owner.organisation, purpose=Payment.Purpose.TOP_UP, amount=amount, card=save_card(owner),
        actor=owner.actor, idempotency_key=f"top up {amount}", **checkout.own_pages(),
    )  # fmt: skip
    for _ in range(2):
        payment = checkout.complete(payment.pk)
    return payment


def lines(organisation: Organisation) -> list[tuple[str, int, int]]:
    return [
        (row.source_type, int(row.amount), int(row.balance)) for row in history.rows(organisation, history.Wanted())
    ]


def test_a_top_up_settles_it_first(said: Any, owner: Person, organisation: Organisation) -> None:
    home = owner.client.get("/billing/").content.decode()
    assert "You owe $20.00 from a payment that your bank took back" in home
    assert [debt.amount for debt in owed.debts_of(organisation)] == [20]
    top_up(owner, "15")
    assert [usd(owner), owed_by(organisation)] == [0, 5]
    assert "You owe $5.00" in owner.client.get("/billing/").content.decode()
    payment = top_up(owner, "30")
    assert payment.status == "captured"
    assert [usd(owner), owed_by(organisation)] == [25, 0]
    assert "You owe" not in owner.client.get("/billing/").content.decode()
    assert lines(organisation)[-2:] == [("payment", 30, 30), ("owed", -5, 25)]
    assert "What you owed us" in owner.client.get("/billing/history/").content.decode()


def test_what_has_come_back_is_not_named(organisation: Organisation) -> None:
    account = account_of(organisation, Kind.OWED_TO_US, "USD")
    for memo in ("first", "second"):
        about = {"source_type": "chargeback", "source_id": memo, "memo": memo}
        ledger.post([leg(account, opening(), "20", **about)])
    newest = owed.debts_of(organisation)[0].memo
    ledger.post([leg(opening(), account, "20", source_type="chargeback", source_id=newest)])
    [debt] = owed.debts_of(organisation)
    assert (int(debt.amount), {debt.memo, newest}) == (20, {"first", "second"})


def test_settled_and_then_won(said: Any, owner: Person, organisation: Organisation) -> None:
    """The customer has paid it out of later money: what comes back is theirs. The bank may think again."""
    top_up(owner, "30")
    chargebacks.learn(STRIPE, replace(said, returned=Decimal(25), state="won"))
    assert [usd(owner), owed_by(organisation)] == [35, 0]
    chargebacks.learn(STRIPE, replace(said, withdrawn=Decimal(50), returned=Decimal(25), state="lost"))
    assert [usd(owner), owed_by(organisation)] == [10, 0]
    chargebacks.learn(STRIPE, replace(said, withdrawn=Decimal(50), returned=Decimal(50), state="won"))
    assert [usd(owner), owed_by(organisation)] == [35, 0]


def test_a_plan_that_was_settled_and_whose_refund_fails(
    owner: Person, staff: Person, organisation: Organisation, stripe: str
) -> None:
    payment = pay_plan_by_card(owner)
    asked: dict[str, Any] = {"amount": "49", "reason": "a wish", "actor": staff.actor, "idempotency_key": "on its way"}
    refund = refunds.request(payment=payment, **asked)
    found = remote(STRIPE).fetch_chargeback(dispute(stripe, payment))
    chargebacks.learn(STRIPE, found)
    assert owed_by(organisation) == 49
    top_up(owner, "60")
    assert refunds.bring_up(refund.pk).status == "failed"
    assert [usd(owner), owed_by(organisation)] == [60, 0]
    chargebacks.learn(STRIPE, replace(found, returned=Decimal(49), state="won"))
    assert [usd(owner), owed_by(organisation)] == [60, 0]


def test_earnings_that_are_moved_settle_it(said: Any, owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    with later():
        for _ in range(2):
            requesting.move_to_wallet(organisation=organisation, amount="30", actor=owner.actor, key="one")
    assert [usd(owner), owed_by(organisation)] == [10, 0]
