"""A balance that falls, and one that runs out: told once each time, to those who look after money, in their language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation
from billing import balance_alerts, ledger, usage
from billing.accounts import wallet_of
from billing.models import BalanceAlert
from billing.usage import RESERVE
from notifications.models import Notification
from tests.billing.money import fund, leg, opening
from tests.people import Person, make_organisation

HOUR = timedelta(hours=1)


def set_alert(person: Person, **body: object) -> None:
    assert person.api("put", "wallets/alerts", {"currency": "USD", **body}).status_code == 200


def spend(organisation: Organisation, amount: str) -> None:
    ledger.post([leg(wallet_of(organisation, "USD"), opening(), amount)])


def told(kind: str, person: Person) -> list[str]:
    rows = Notification.objects.filter(kind=f"wallet.{kind}", user=person.user).order_by("pk")
    return [row.title for row in rows]


@contextmanager
def burning(organisation: Organisation, per_hour: str) -> Iterator[None]:
    """A pod that holds the cost of its next minutes."""
    hold_id = uuid4()
    amount = Decimal(per_hour) / (HOUR // RESERVE)
    usage.reserve(organisation, payer="wallet", currency="USD", amount=amount, source_id=uuid4(), hold_id=hold_id)
    yield
    usage.release(hold_id)


@pytest.fixture
def funded(owner: Person) -> Organisation:
    assert owner.organisation is not None
    fund(owner.organisation, "100")
    return owner.organisation


def test_a_low_balance_is_told_once_each_time(
    owner: Person, admin: Person, viewer: Person, funded: Organisation
) -> None:
    set_alert(owner, below="10.00")
    balance_alerts.watch_balances()
    spend(funded, "91")
    for _look in range(3):
        balance_alerts.watch_balances()
    assert told("low_balance", owner) == ["Wallet: running low"]
    assert [message.to for message in mail.outbox] == [[admin.user.email], [owner.user.email]]
    assert all("$9.00" in str(message.body) for message in mail.outbox)
    fund(funded, "5")
    balance_alerts.watch_balances()
    spend(funded, "6")
    balance_alerts.watch_balances()
    assert len(told("low_balance", owner)) == 2
    assert told("low_balance", viewer) == []


def test_exactly_the_amount_is_not_below(owner: Person, funded: Organisation) -> None:
    set_alert(owner, below="100.00")
    balance_alerts.watch_balances()
    assert told("low_balance", owner) == []


def test_without_an_amount_nothing_is_said(owner: Person, funded: Organisation) -> None:
    spend(funded, "100")
    balance_alerts.watch_balances()
    assert not Notification.objects.filter(user=owner.user).exists()


def test_each_currency_has_its_own(owner: Person, funded: Organisation) -> None:
    set_alert(owner, currency="USDC", below="0.5")
    balance_alerts.watch_balances()
    assert told("low_balance", owner) == ["USDC: running low"]


def test_the_runway_is_told_at_24_6_and_1_hours(owner: Person, funded: Organisation) -> None:
    """At one dollar an hour; what is told of and what not stands beside each look."""
    steps = [("0", 0), ("76", 0), ("1", 1), ("10", 1), ("7", 1), ("1", 2), ("4.5", 3), ("0.25", 3)]
    with burning(funded, "1"):
        for spent, news in steps:
            if spent != "0":
                spend(funded, spent)
            balance_alerts.watch_balances()
            assert len(told("runway", owner)) == news, spent
    assert told("runway", owner) == [
        "Wallet: less than 24 hours left",
        "Wallet: less than 6 hours left",
        "Wallet: less than 1 hour left",
    ]
    assert len(mail.outbox) == 3


def test_the_runway_is_told_again_after_it_was_above(owner: Person, funded: Organisation) -> None:
    with burning(funded, "1"):
        balance_alerts.watch_balances()
        for amount in ("90", "50"):
            spend(funded, amount)
            balance_alerts.watch_balances()
            fund(funded, "90")
            balance_alerts.watch_balances()
    assert len(told("runway", owner)) == 1  # the second spending left more than a day
    assert BalanceAlert.objects.get().runway_level == BalanceAlert.ABOVE


def test_who_starts_with_little_has_read_it_there(owner: Person, funded: Organisation) -> None:
    with burning(funded, "50"):
        balance_alerts.watch_balances()
    assert told("runway", owner) == []
    balance_alerts.watch_balances()
    assert BalanceAlert.objects.get().runway_level is None  # nothing is being spent any more


def test_who_does_not_want_it_hears_nothing_of_the_runway(owner: Person, funded: Organisation) -> None:
    set_alert(owner, watches_runway=False)
    with burning(funded, "1"):
        balance_alerts.watch_balances()
        spend(funded, "99")
        balance_alerts.watch_balances()
    assert told("runway", owner) == []


def test_the_reader_s_language(owner: Person, funded: Organisation) -> None:
    type(owner.user).objects.filter(pk=owner.user.pk).update(locale="es")
    set_alert(owner, below="200.00")
    balance_alerts.watch_balances()
    assert told("low_balance", owner) == ["Billetera: queda poco"]
    assert mail.outbox[0].subject == "Billetera: queda poco"


def test_many_are_looked_at_with_the_queries_of_one(db: None) -> None:
    def watch(count: int) -> int:
        for _organisation in range(count):
            organisation = make_organisation("Watched")
            fund(organisation, "100")
            BalanceAlert.objects.create(organisation=organisation, currency="USD", below=10)
            stack.enter_context(burning(organisation, "1"))
        balance_alerts.watch_balances()  # notes how long each lasts
        with CaptureQueriesContext(connection) as asked:
            balance_alerts.watch_balances()
        return len(asked)

    with ExitStack() as stack:
        assert watch(1) == watch(19) == 4


@pytest.mark.parametrize("below", ["0", "-1", "NaN", "1.001", "1e30", "much"])
def test_wrong_amounts_change_nothing(owner: Person, funded: Organisation, below: str) -> None:
    body = {"currency": "USD", "below": below}
    assert owner.api("put", "wallets/alerts", body).status_code == 422
    assert owner.api("put", "wallets/alerts", {"currency": "EUR", "below": "1"}).status_code == 422
    assert not BalanceAlert.objects.exists()


def test_by_page(owner: Person, viewer: Person, funded: Organisation) -> None:
    page = "/billing/alerts/"
    assert owner.client.post(page, {"currency": "USD", "USD-below": "0"}).status_code == 422
    assert owner.client.post(page, {"currency": "USD", "USD-below": "12.5"}).status_code == 302
    alert = BalanceAlert.objects.get()
    assert (alert.below, alert.watches_runway) == (Decimal("12.5"), False)
    assert 'value="12.5"' in owner.client.get(page).content.decode()
    assert owner.client.post(page, {"currency": "EUR"}).status_code == 200
    assert viewer.client.get(page).status_code == 403
    listed = owner.api("get", "wallets/alerts").json()["items"]
    assert [row["currency"] for row in listed] == ["USD", "CREDIT", "USDC"]
    assert listed[0]["below"] == {"amount": "12.500000", "currency": "USD"}
