"""A wallet that fills itself: below its threshold, once an hour, by the default card, until that refuses three times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from freezegun import freeze_time

from billing import auto_top_up, ledger, payment_methods, reconcile, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.models import AutoTopUp, Payment, PaymentMethod
from billing.payments import checkout
from notifications.models import Notification
from tests.billing.money import faulty, fund, leg, opening
from tests.billing.stripe import ASKS, FAILS_LATER, GOOD, save_card
from tests.people import Person, make_organisation

START = datetime(2026, 5, 1, tzinfo=UTC)
BODY = {"is_on": True, "threshold": "20.00", "amount": "50.00"}


@pytest.fixture(autouse=True)
def _routes() -> None:
    reverse("billing:home")  # the routes of the API must load before time is frozen


def switch_on(person: Person, card: str = GOOD) -> AutoTopUp:
    save_card(person, card)
    assert person.api("put", "wallets/auto-top-up", BODY).status_code == 200
    return AutoTopUp.objects.get()


def usd(row: AutoTopUp) -> Decimal:
    return wallet.balances(row.organisation)["USD"]


def test_it_fills_what_is_below_and_once_an_hour(owner: Person, stripe: str) -> None:
    row = switch_on(owner)
    with freeze_time(START):
        assert [auto_top_up.keep_wallets_filled() for _ in range(3)] == [1, 0, 0]
    assert usd(row) == 50
    spend(row, "40")
    with freeze_time(START + timedelta(minutes=59)):
        assert auto_top_up.keep_wallets_filled() == 0
    with freeze_time(START + timedelta(minutes=60)):
        assert auto_top_up.keep_wallets_filled() == 1
    assert usd(row) == 60
    assert Payment.objects.count() == 2
    assert reconcile.check_clearing() == []


def spend(row: AutoTopUp, amount: str) -> None:
    ledger.post([leg(wallet_of(row.organisation, "USD"), opening(), amount)])


@pytest.mark.parametrize("card", [FAILS_LATER, ASKS])
def test_three_refusals_switch_it_off(owner: Person, stripe: str, card: str) -> None:
    row = switch_on(owner, card)
    for hour in range(5):
        with freeze_time(START + timedelta(hours=hour)):
            assert auto_top_up.keep_wallets_filled() == 0
    row.refresh_from_db()
    assert (row.is_on, row.declines, Payment.objects.count(), usd(row)) == (False, 3, 3, Decimal(0))
    told = Notification.objects.filter(kind="wallet.auto_top_up_off", user=owner.user)
    assert told.count() == 1


def test_a_payment_that_stripe_refuses_counts_too(owner: Person, stripe: str) -> None:
    row = switch_on(owner)
    PaymentMethod.objects.update(ref="pm_nobody")
    for hour in range(5):
        with freeze_time(START + timedelta(hours=hour)):
            assert auto_top_up.keep_wallets_filled() == 0
    row.refresh_from_db()
    assert (row.is_on, row.declines, Payment.objects.count()) == (False, 3, 3)


def test_what_is_owed_is_not_paid_by_it(owner: Person, stripe: str) -> None:
    """Each top-up would go to that, and the wallet stay empty: charged once an hour."""
    row = switch_on(owner)
    account = account_of(row.organisation, Kind.OWED_TO_US, "USD")
    ledger.post([leg(account, opening(), "170", source_type="refund")])
    for hour in range(3):
        with freeze_time(START + timedelta(hours=hour)):
            assert auto_top_up.keep_wallets_filled() == 0
    row.refresh_from_db()
    assert (row.is_on, Payment.objects.count()) == (False, 0)
    told = Notification.objects.get(kind="wallet.auto_top_up_off", user=owner.user)
    assert "you owe us" in told.title
    refused = owner.client.post("/billing/auto-top-up/", {"is_on": "on", "threshold": "20", "amount": "50"})
    assert "Pay what you owe first" in refused.content.decode()
    with freeze_time(START + timedelta(hours=4)):
        ledger.post([leg(opening(), account, "170")])
    assert owner.api("put", "wallets/auto-top-up", BODY).status_code == 200


def test_without_a_card_it_is_off(owner: Person, stripe: str) -> None:
    row = switch_on(owner)
    card = payment_methods.default_of(row.organisation)
    assert card is not None
    payment_methods.remove(card, owner.actor)
    assert auto_top_up.keep_wallets_filled() == 0
    row.refresh_from_db()
    assert not row.is_on


def test_a_lost_answer_charges_once(owner: Person, stripe: str) -> None:
    """The charge was made and we did not hear of it: the reconciler books it, and the next hour finds enough."""
    row = switch_on(owner)
    with freeze_time(START):
        with faulty(stripe, "drop_answer_after_create", "/v1/payment_intents/"):
            assert auto_top_up.keep_wallets_filled() == 0
        payment = Payment.objects.get()
        assert checkout.complete(payment.pk).status == "captured"
    with freeze_time(START + timedelta(hours=1)):
        assert auto_top_up.keep_wallets_filled() == 0
    assert usd(row) == 50


def test_what_was_changed_since_it_was_read_is_not_charged(owner: Person, stripe: str) -> None:
    read = switch_on(owner)
    less = {**BODY, "amount": "5.00"}
    assert owner.api("put", "wallets/auto-top-up", less).status_code == 200
    assert (auto_top_up._look(read), Payment.objects.count()) == (False, 0)
    assert (auto_top_up.keep_wallets_filled(), usd(read)) == (1, Decimal(5))


def test_many_are_looked_at_with_the_queries_of_one(db: None) -> None:
    def look(count: int) -> int:
        for _organisation in range(count):
            organisation = make_organisation("Filled")
            fund(organisation, "100")
            AutoTopUp.objects.create(organisation=organisation, is_on=True, threshold=20, amount=50)
        with CaptureQueriesContext(connection) as asked:
            auto_top_up.keep_wallets_filled()
        return len(asked)

    assert look(1) == look(19) == 2


def test_by_page(owner: Person, member: Person, stripe: str) -> None:
    page = "/billing/auto-top-up/"
    form: dict[str, Any] = {"is_on": "on", "threshold": "20", "amount": "50"}
    assert owner.client.post(page, form).status_code == 422  # no card yet
    save_card(owner)
    assert owner.client.post(page, form).status_code == 302
    assert 'value="20.00"' in owner.client.get(page).content.decode()
    assert member.client.get(page).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "0"},
        {"amount": "10001"},
        {"amount": "5.001"},
        {"amount": None},
        {"threshold": "-1"},
        {"threshold": None},
        {"threshold": "NaN"},
        {"is_on": "maybe"},
    ],
)
def test_wrong_settings_change_nothing(owner: Person, stripe: str, change: dict[str, Any]) -> None:
    save_card(owner)
    assert owner.api("put", "wallets/auto-top-up", {**BODY, **change}).status_code == 422
    assert not AutoTopUp.objects.exists()
