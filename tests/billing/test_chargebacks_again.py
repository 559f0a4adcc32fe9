"""Banks that think again, and refunds that were on their way: each sum is booked as often as it moves."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from accounts.models import Organisation
from billing import chargebacks, plans, reconcile, refunds
from billing.models import Chargeback, Invoice, Payment, Refund
from billing.payments.base import ChargebackState, RemoteChargeback
from billing.payments.services import STRIPE
from billing.payments.services import chargebacks as remote
from lib.clock import now
from tests.billing.taken_back import dispute, pay_by_card, pay_plan_by_card
from tests.billing.test_chargebacks import again, clearing, fees, owed, usd
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances() -> Any:
    yield
    assert reconcile.check_clearing() == []


def said(stripe: str, payment: Payment, cents: int | None = None) -> RemoteChargeback:
    return remote(STRIPE).fetch_chargeback(dispute(stripe, payment, cents))


def test_taken_again_after_it_was_won(owner: Person, organisation: Organisation, stripe: str) -> None:
    first = said(stripe, pay_by_card(owner))
    row = chargebacks.learn(STRIPE, first)
    for turn in (1, 2):
        taken, before = Decimal(25 * turn), Decimal(25 * (turn - 1))
        lost = replace(first, withdrawn=taken, returned=before, fee=Decimal(15), state="lost")
        chargebacks.learn(STRIPE, lost if turn == 2 else first)
        row = again(row)
        assert [usd(owner), clearing(), fees(), row.payment.charged_back] == [0, -15, 15, 25]
        won = replace(first, withdrawn=taken, returned=taken, fee=Decimal(0), state="won")
        chargebacks.learn(STRIPE, won)
        row = again(row)
        assert [usd(owner), owed(organisation), clearing(), fees()] == [25, 0, 25, 0]
        assert [row.counted, row.payment.charged_back] == [0, 0]


def test_the_bank_wants_to_hear_more(owner: Person, stripe: str) -> None:
    first = said(stripe, pay_by_card(owner))
    row = chargebacks.learn(STRIPE, first)
    states: list[ChargebackState] = ["under_review", "needs_response"]
    for state in states:
        chargebacks.learn(STRIPE, replace(first, state=state, asked_at=now()))
        assert again(row).status == state


def test_an_old_answer_is_no_wish_to_hear_more(owner: Person, stripe: str) -> None:
    """A list was asked for before we learned how it is; the worker that goes through it is the slower one."""
    first = said(stripe, pay_by_card(owner))
    row = chargebacks.learn(STRIPE, first)
    states: list[ChargebackState] = ["needs_response", "under_review", "needs_response"]
    for old, new in pairwise(states):
        asked_before = now()
        chargebacks.learn(STRIPE, replace(first, state=new, asked_at=now()))
        chargebacks.learn(STRIPE, replace(first, state=old, asked_at=asked_before))
        assert again(row).status == new


def on_its_way(payment: Payment, staff: Person, amount: str) -> Refund:
    """Asked for, and the service has not answered yet."""
    return refunds.request(
        payment=payment, amount=amount, reason="a wish", actor=staff.actor, idempotency_key="on its way"
    )


def test_a_refund_that_fails_gives_way_to_the_bank(
    owner: Person, staff: Person, organisation: Organisation, stripe: str
) -> None:
    """25 are set aside for a refund; the bank takes them first, so that Stripe refuses the refund."""
    payment = pay_by_card(owner)
    refund = on_its_way(payment, staff, "25")
    first = said(stripe, payment)
    row = chargebacks.learn(STRIPE, first)
    assert [row.counted, owed(organisation)] == [0, 25]
    assert refunds.bring_up(refund.pk).status == "failed"
    row = again(row)
    assert [row.counted, row.payment.charged_back, row.payment.left] == [25, 25, 0]
    assert [usd(owner), owed(organisation)] == [0, 0]
    chargebacks.learn(STRIPE, replace(first, state="lost"))
    assert Invoice.objects.get(kind="credit_note").gross == 25


@pytest.mark.parametrize("lost_first", [True, False])
def test_a_plan_whose_refund_fails_ends_when_it_is_lost(
    owner: Person, staff: Person, organisation: Organisation, stripe: str, *, lost_first: bool
) -> None:
    payment = pay_plan_by_card(owner)
    refund = on_its_way(payment, staff, "49")
    first = said(stripe, payment)
    chargebacks.learn(STRIPE, first)
    if lost_first:
        chargebacks.learn(STRIPE, replace(first, state="lost"))
    assert plans.current_plan(organisation).slug == "pro"
    refunds.bring_up(refund.pk)
    chargebacks.learn(STRIPE, replace(first, state="lost"))
    assert plans.current_plan(organisation).slug == "free"
    assert [Invoice.objects.get(kind="credit_note").gross, owed(organisation)] == [49, 0]


def test_won_after_its_refund_failed(owner: Person, staff: Person, organisation: Organisation, stripe: str) -> None:
    payment = pay_by_card(owner)
    refund = on_its_way(payment, staff, "10")
    first = said(stripe, payment)
    chargebacks.learn(STRIPE, first)
    refunds.bring_up(refund.pk)
    chargebacks.learn(STRIPE, replace(first, returned=Decimal(25), state="won"))
    assert [usd(owner), owed(organisation)] == [25, 0]
    assert Chargeback.objects.get().counted == 0
