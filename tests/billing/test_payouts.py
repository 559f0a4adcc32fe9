"""Earnings paid out: what is available, each payout once whatever fails, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.db import connections
from freezegun import freeze_time

from accounts.models import Organisation
from billing import ledger, reconcile, reconciliation, wallet
from billing.accounts import Kind, account_of
from billing.lifecycle import PayoutStatus
from billing.models import PayeeProfile, Payout, PayoutMethod, ReconciliationCase, WebhookEvent
from billing.payments.services import service
from billing.payouts import payees, requesting, sending
from billing.payouts.earnings import earnings_of, free_from
from lib.clock import now
from lib.errors import Conflict, Invalid
from notifications.models import Notification
from tests.billing.earning import HELD_BACK, ask, can_be_paid, earn, later
from tests.billing.money import faulty
from tests.billing.test_stripe_connect import new_payee, onboard, order, reverse
from tests.people import Person

MONDAY = datetime(2030, 3, 4, 6, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    """What the tests earn is no longer held back."""
    with later():
        yield


def decide(paypal: str, receiver: str, outcome: str) -> None:
    """What becomes of payouts to somebody from now on."""
    assert requests.post(f"{paypal}/sandbox/payouts", json={"receiver": receiver, "outcome": outcome}, timeout=5).ok


def items_at(paypal: str, payout: Payout) -> list[dict[str, Any]]:
    """What PayPal has of it, under our name."""
    remote: Any = service("paypal")
    batch = remote.api.ask(f"v1/payments/payouts/{payout.service_ref}")
    assert batch["batch_header"]["sender_batch_header"]["sender_batch_id"] == payout.public_id
    return [item["payout_item"] | {"id": item["payout_item_id"]} for item in batch["items"]]


def happen(paypal: str, payout: Payout, status: str) -> None:
    (item,) = items_at(paypal, payout)
    answer = requests.post(f"{paypal}/sandbox/payouts-item/{item['id']}", json={"status": status}, timeout=5)
    assert answer.ok, answer.text


def hear(payout: Payout) -> None:
    """PayPal's notification is stored and worked on; its signature is tested elsewhere."""
    id, kind = f"WH-{uuid4()}", "PAYMENT.PAYOUTS-ITEM.RETURNED"
    body = {"id": id, "event_type": kind, "resource": {"payout_batch_id": payout.service_ref}}
    event = WebhookEvent.objects.create(service="paypal", event_ref=id, kind=kind, body=body)
    reconcile.process_event(event.pk)


def available(owner: Person) -> Decimal:
    assert owner.organisation is not None
    return earnings_of(owner.organisation).available


def test_a_week_is_held_back(owner: Person, organisation: Organisation) -> None:
    with freeze_time(now() - HELD_BACK, tick=True):
        assert earnings_of(organisation).available == 0
        earn(organisation, "150")
        found = earnings_of(organisation)
        assert (found.balance, found.held_back, found.available) == (Decimal("127.5"), Decimal("127.5"), Decimal(0))
        until = free_from(organisation)
        assert until is not None
        assert timedelta(days=6, hours=23) < until[0] - now() < timedelta(days=7)
    assert earnings_of(organisation).available == Decimal("127.5")
    assert free_from(organisation) is None


def test_less_than_a_cent_stays(owner: Person, organisation: Organisation) -> None:
    assert earn(organisation, "0.999999") == Decimal("0.849999")
    assert available(owner) == Decimal("0.84")


def test_asked_for_and_paid(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    method = can_be_paid(owner)
    payout = ask(owner, "50")
    found = earnings_of(organisation)
    assert (payout.status, found.set_aside, found.available) == (PayoutStatus.NEW, Decimal(50), Decimal(35))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, bool(payout.service_ref)) == (PayoutStatus.SENT, True)
    assert sending.reconcile_payouts() == 0  # asked only just now
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID
    (item,) = items_at(paypal, payout)
    assert (item["receiver"], item["amount"]["value"]) == (method.destination, "50.00")
    found = earnings_of(organisation)
    assert (found.balance, found.set_aside) == (Decimal(35), Decimal(0))
    clearing = account_of(None, Kind.CLEARING, "USD", label="paypal")
    assert clearing.credits_posted - clearing.debits_posted == 50


def test_a_key_is_for_one_payout(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    can_be_paid(owner)
    assert len({ask(owner, "20", "once").pk for _ in range(2)}) == 1
    assert available(owner) == 65
    with pytest.raises(Conflict) as refusal:
        ask(owner, "21", "once")
    assert refusal.value.code == "idempotency_conflict"


@pytest.mark.parametrize("amount", ["0", "-5", "9.99", "85.01", "10.001", "NaN", "1e30", "ten", "", "9" * 40])
def test_a_wrong_amount_moves_nothing(owner: Person, organisation: Organisation, amount: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    with pytest.raises(Invalid) as refusal:
        ask(owner, amount)
    assert "amount" in refusal.value.fields
    assert available(owner) == 85
    assert not Payout.objects.exists()


def test_what_is_missing_is_named_field_by_field(owner: Person, organisation: Organisation, staff: Person) -> None:
    earn(organisation)
    with pytest.raises(Conflict) as refusal:
        ask(owner)
    assert refusal.value.code == "payee_incomplete"
    assert set(refusal.value.fields) == {"legal_name", "country", "tax_form", "identity"}
    given = {"legal_name": "Andes Vision S.A.", "country": "EC", "tax_form": "w8bene", "pays_weekly": True}
    profile = payees.change(organisation, **given, actor=owner.actor)
    assert [(gap.field, gap.by_us) for gap in payees.missing(profile)] == [("tax_form", True), ("identity", True)]
    payees.confirm_tax_form(profile, person=staff.user, actor=staff.actor)
    payees.verify_identity(organisation, by="staff", actor=staff.actor)
    profile = payees.profile_of(organisation)
    assert payees.missing(profile) == []
    with pytest.raises(Conflict) as refusal:
        ask(owner)
    assert refusal.value.code == "no_method"
    # What the owner states anew is confirmed anew.
    profile = payees.change(organisation, **{**given, "legal_name": "Other S.A."}, actor=owner.actor)
    assert [gap.field for gap in payees.missing(profile)] == ["tax_form", "identity"]


def test_staff_hold_a_payout_that_has_not_left(
    owner: Person, organisation: Organisation, staff: Person, paypal: str
) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    profile = payees.profile_of(organisation)
    payees.hold(profile, reason="Chargebacks of your renters", actor=staff.actor)
    assert sending.bring_up(payout.pk).status == PayoutStatus.NEW
    with pytest.raises(Conflict):
        requesting.move_to_wallet(organisation=organisation, amount=None, actor=owner.actor, key="k")
    payees.hold(profile, reason="", actor=staff.actor)
    assert sending.bring_up(payout.pk).status == PayoutStatus.SENT


def test_a_new_method_waits(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner, payable_from=now() + timedelta(hours=24))
    payout = ask(owner)
    assert sending.reconcile_payouts() == 0
    Payout.objects.update(not_before=now() - timedelta(minutes=1))  # the day is over
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert payout.status == PayoutStatus.SENT


def test_a_large_sum_in_small_pieces_waits_for_staff(
    owner: Person, organisation: Organisation, staff: Person, paypal: str, settings: Any
) -> None:
    settings.PAYOUT_APPROVAL_ABOVE = Decimal(60)
    earn(organisation)
    can_be_paid(owner)
    small = ask(owner, "40")
    Payout.objects.update(created_at=now())
    large = ask(owner, "40")
    assert (small.needs_approval, large.needs_approval) == (False, True)
    assert sending.reconcile_payouts() == 1
    requesting.approve(large, person=staff.user, actor=staff.actor)
    with pytest.raises(Conflict):
        requesting.approve(large, person=staff.user, actor=staff.actor)
    assert sending.bring_up(large.pk).status == PayoutStatus.SENT


def test_called_off(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = requesting.cancel(ask(owner), actor=owner.actor)
    assert (payout.status, available(owner)) == (PayoutStatus.CANCELLED, Decimal(85))
    assert sending.bring_up(payout.pk).status == PayoutStatus.CANCELLED
    sent = sending.bring_up(ask(owner).pk)
    with pytest.raises(Conflict):
        requesting.cancel(sent, actor=owner.actor)


@pytest.mark.parametrize("outcome", ["FAILED", "DENIED"])
def test_refused_comes_back_to_the_balance(
    owner: Person, organisation: Organisation, paypal: str, outcome: str
) -> None:
    earn(organisation)
    decide(paypal, can_be_paid(owner).destination, outcome)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    assert (payout.status, available(owner)) == (PayoutStatus.FAILED, Decimal(85))
    assert [note.kind for note in Notification.objects.filter(user=owner.user)] == ["payout.failed"]


@pytest.mark.parametrize("fault", ["http_500", "drop_answer_after_create"])
def test_paypal_is_away_and_comes_back(owner: Person, organisation: Organisation, paypal: str, fault: str) -> None:
    """Whether it heard us or not: asked again by the same name, it pays once."""
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    with faulty(paypal, fault, "/v1/payments/payouts"):
        assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, payout.service_ref, available(owner)) == (PayoutStatus.SENT, "", Decimal(0))
    for _ in range(2):
        Payout.objects.update(checked_at=now() - timedelta(minutes=5))
        sending.reconcile_payouts()
    payout.refresh_from_db()
    assert (payout.status, len(items_at(paypal, payout))) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0


@pytest.mark.parametrize(("first", "then"), [("UNCLAIMED", "RETURNED"), ("SUCCESS", "REVERSED")])
def test_what_came_back_is_earnings_again(
    owner: Person, organisation: Organisation, paypal: str, first: str, then: str
) -> None:
    """Before we knew that it was paid, or long after; heard by PayPal's notification, twice."""
    earn(organisation)
    decide(paypal, can_be_paid(owner).destination, first)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    assert (payout.status, available(owner)) == ("sent" if first == "UNCLAIMED" else "paid", Decimal(0))
    happen(paypal, payout, then)
    for _ in range(2):
        hear(payout)
        payout.refresh_from_db()
        assert (payout.status, payout.returned, available(owner)) == (PayoutStatus.RETURNED, Decimal(85), Decimal(85))


def test_looked_at_again_when_it_may_have_come_back(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    happen(paypal, payout, "REVERSED")
    assert sending.reconcile_payouts() == 0  # once a day
    Payout.objects.update(checked_at=now() - timedelta(days=2))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert payout.status == PayoutStatus.RETURNED


def test_reconciliation_sees_what_came_back_unheard(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    Payout.objects.update(finished_at=now() - timedelta(hours=1))
    assert reconciliation.run("paypal").differences == 0
    happen(paypal, payout, "REVERSED")
    assert reconciliation.run("paypal").differences == 1
    case = ReconciliationCase.objects.get(kind="payout")
    assert (case.subject, case.ours, case.theirs) == (payout.public_id, "85 USD", "0 USD")
    sending.bring_up(payout.pk)
    Payout.objects.update(finished_at=now() - timedelta(hours=1))
    assert reconciliation.run("paypal").differences == 0
    case.refresh_from_db()
    assert case.resolved_at is not None


def test_a_part_came_back_from_stripe(owner: Person, organisation: Organisation, stripe: str) -> None:
    order("500")  # money of ours at Stripe
    ref = new_payee()
    onboard(ref)
    earn(organisation)
    can_be_paid(owner, kind="stripe", destination=ref, display="Stripe")
    payout = sending.bring_up(ask(owner).pk)
    assert payout.status == PayoutStatus.PAID
    for part, back in (("10.00", "10"), ("25.50", "35.5")):
        reverse(payout.service_ref, int(Decimal(part) * 100))
        for _ in range(2):
            payout = sending.bring_up(payout.pk)
            assert (payout.status, available(owner)) == (PayoutStatus.PAID, Decimal(back))
    reverse(payout.service_ref)
    assert sending.bring_up(payout.pk).status == PayoutStatus.RETURNED
    assert available(owner) == 85


def test_an_unknown_account_at_stripe(owner: Person, organisation: Organisation, stripe: str) -> None:
    order("500")
    earn(organisation)
    can_be_paid(owner, kind="stripe", destination="acct_unknown", display="Stripe")
    payout = sending.bring_up(ask(owner).pk)
    assert (payout.status, payout.reason, available(owner)) == ("failed", "no_such_account", Decimal(85))


def test_weekly_once_and_only_who_wants_it(owner: Person, organisation: Organisation, outsider: Person) -> None:
    for person in (owner, outsider):
        earn(person.organisation)
        can_be_paid(person, destination=person.user.email)
    PayeeProfile.objects.filter(organisation=outsider.organisation).update(pays_weekly=False)
    with freeze_time(MONDAY - timedelta(minutes=1)):
        assert requesting.pay_out_weekly() == 0
    with freeze_time(MONDAY):
        assert requesting.pay_out_weekly() == 1
        earn(organisation)
        assert requesting.pay_out_weekly() == 0
    payout = Payout.objects.get()
    assert (payout.organisation, payout.amount, payout.requested_by) == (organisation, Decimal(85), None)
    with freeze_time(MONDAY + timedelta(days=2)):
        assert requesting.pay_out_weekly() == 0
    with freeze_time(MONDAY + timedelta(days=7, hours=3)):
        assert requesting.pay_out_weekly() == 1
    assert Payout.objects.count() == 2


def test_weekly_passes_over_what_is_not_ready(owner: Person, organisation: Organisation, outsider: Person) -> None:
    earn(organisation)
    method = can_be_paid(owner)
    earn(outsider.organisation, "5")  # too little
    can_be_paid(outsider, destination="other@example.com")
    PayoutMethod.objects.filter(pk=method.pk).update(is_ready=False)
    with freeze_time(MONDAY):
        assert requesting.pay_out_weekly() == 0
        PayoutMethod.objects.filter(pk=method.pk).update(is_ready=True)
        assert requesting.pay_out_weekly() == 1


def test_into_the_wallet_at_once(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    key = uuid4().hex
    for _ in range(2):
        moved = requesting.move_to_wallet(organisation=organisation, amount="30", actor=owner.actor, key=key)
        assert moved == 30
    assert wallet.balance(organisation, "USD").available == 30
    assert available(owner) == 55
    with pytest.raises(Conflict):
        requesting.move_to_wallet(organisation=organisation, amount="31", actor=owner.actor, key=key)
    with pytest.raises(Invalid):
        requesting.move_to_wallet(organisation=organisation, amount="55.01", actor=owner.actor, key="more")


@pytest.mark.django_db(transaction=True)
def test_two_at_once_get_no_more_than_there_is(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    can_be_paid(owner)

    def try_it(n: int) -> bool:
        try:
            ask(owner, "50", f"key-{n}")
        except Invalid:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(try_it, range(2))) == [False, True]
    assert earnings_of(organisation).set_aside == 50


@pytest.mark.django_db(transaction=True)
def test_two_workers_pay_once(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)

    def work(_n: int) -> None:
        try:
            sending.bring_up(payout.pk)
        finally:
            connections.close_all()

    for _ in range(2):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
    payout.refresh_from_db()
    assert (payout.status, len(items_at(paypal, payout))) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0
    assert ledger.check() == []
