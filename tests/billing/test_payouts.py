"""Earnings paid out: what is available, each payout once whatever fails, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from freezegun import freeze_time

from accounts.models import Organisation
from billing import ledger, reconcile, wallet
from billing.accounts import Kind, account_of
from billing.lifecycle import PayoutStatus
from billing.models import PayeeProfile, Payout, PayoutMethod
from billing.payments.base import Gone, NewPayout, Refused, RemotePayout, ServiceDown
from billing.payouts import payees, requesting, sending
from billing.payouts.earnings import earnings_of, free_from
from lib.clock import now
from lib.errors import Conflict, Invalid
from tests.billing.earning import HELD_BACK, ask, can_be_paid, earn, later
from tests.people import Person

MONDAY = datetime(2030, 3, 4, 6, 0, tzinfo=UTC)


class Remote:
    """A payment service of the contract, scripted: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.state: Any = "paid"
        self.returned = Decimal(0)
        self.fault: Exception | None = None
        self.after: Exception | None = None
        self.sent: dict[str, NewPayout] = {}
        self.asked = 0

    def send_payout(self, payout: NewPayout) -> RemotePayout:
        self.asked += 1
        if self.fault:
            raise self.fault
        self.sent.setdefault(payout.reference, payout)
        if self.after:
            raise self.after
        return self._read(payout)

    def fetch_payout(self, ref: str) -> RemotePayout:
        self.asked += 1
        found = next((payout for payout in self.sent.values() if f"PO-{payout.reference}" == ref), None)
        if found is None:
            raise Gone(ref)
        return self._read(found)

    def _read(self, payout: NewPayout) -> RemotePayout:
        ref = f"PO-{payout.reference}"
        return RemotePayout(ref, payout.reference, self.state, payout.amount, payout.currency, "", self.returned)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    """In the place of a payment service: the real adapters have tests of their own, against their peers."""
    made = Remote()
    monkeypatch.setattr(sending, "payout_service", lambda slug: made)
    return made


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    """What the tests earn is no longer held back."""
    with later():
        yield


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


def test_asked_for_and_paid(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    method = can_be_paid(owner)
    payout = ask(owner, "50")
    found = earnings_of(organisation)
    assert (payout.status, found.set_aside, found.available) == (PayoutStatus.NEW, Decimal(50), Decimal(35))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, payout.service_ref) == (PayoutStatus.PAID, f"PO-{payout.public_id}")
    sent = remote.sent[payout.public_id]
    assert (sent.destination, sent.amount, sent.currency) == (method.destination, Decimal(50), "USD")
    found = earnings_of(organisation)
    assert (found.balance, found.set_aside) == (Decimal(35), Decimal(0))
    clearing = account_of(None, Kind.CLEARING, "USD", label="paypal")
    assert clearing.credits_posted - clearing.debits_posted == 50
    assert sending.reconcile_payouts() == 0


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
    owner: Person, organisation: Organisation, staff: Person, remote: Remote
) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    profile = payees.profile_of(organisation)
    payees.hold(profile, reason="Chargebacks of your renters", actor=staff.actor)
    sending.bring_up(payout.pk)
    assert not remote.sent
    with pytest.raises(Conflict):
        requesting.move_to_wallet(organisation=organisation, amount=None, actor=owner.actor, key="k")
    payees.hold(profile, reason="", actor=staff.actor)
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID


def test_a_new_method_waits(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner, payable_from=now() + timedelta(hours=24))
    payout = ask(owner)
    assert sending.reconcile_payouts() == 0
    Payout.objects.update(not_before=now() - timedelta(minutes=1))  # the day is over
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert payout.status == PayoutStatus.PAID


def test_a_large_sum_in_small_pieces_waits_for_staff(
    owner: Person, organisation: Organisation, staff: Person, remote: Remote, settings: Any
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
    assert sending.bring_up(large.pk).status == PayoutStatus.PAID


def test_called_off(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = requesting.cancel(ask(owner), actor=owner.actor)
    assert (payout.status, available(owner)) == (PayoutStatus.CANCELLED, Decimal(85))
    sending.bring_up(payout.pk)
    assert not remote.sent
    paid = sending.bring_up(ask(owner).pk)
    with pytest.raises(Conflict):
        requesting.cancel(paid, actor=owner.actor)


def test_refused_comes_back_to_the_balance(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    remote.fault = Refused("RECEIVER_UNREGISTERED")
    payout = sending.bring_up(ask(owner).pk)
    assert (payout.status, payout.reason) == (PayoutStatus.FAILED, "RECEIVER_UNREGISTERED")
    assert available(owner) == 85


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_the_service_is_away_and_comes_back(
    owner: Person, organisation: Organisation, remote: Remote, lost: str
) -> None:
    """Whether it heard us or not: asked again by the same name, it pays once."""
    earn(organisation)
    can_be_paid(owner)
    away = ServiceDown("no answer")
    remote.fault, remote.after = (away, None) if lost == "question" else (None, away)
    payout = ask(owner)
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, available(owner)) == (PayoutStatus.SENT, Decimal(0))
    assert sending.reconcile_payouts() == 0  # asked only just now
    remote.fault = remote.after = None
    Payout.objects.update(checked_at=now() - timedelta(minutes=5))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, len(remote.sent)) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0


def test_on_its_way_for_days_then_paid(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    remote.state = "pending"
    payout = sending.bring_up(ask(owner).pk)
    assert (payout.status, bool(payout.service_ref)) == (PayoutStatus.SENT, True)
    remote.state = "paid"
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID


@pytest.mark.parametrize("before", ["pending", "paid"])
def test_what_came_back_is_earnings_again(
    owner: Person, organisation: Organisation, remote: Remote, before: str
) -> None:
    earn(organisation)
    can_be_paid(owner)
    remote.state = before
    payout = sending.bring_up(ask(owner).pk)
    assert available(owner) == 0
    remote.state, remote.returned = "returned", payout.amount
    for _ in range(2):  # heard twice
        payout = sending.bring_up(payout.pk)
        assert (payout.status, payout.returned, available(owner)) == (PayoutStatus.RETURNED, Decimal(85), Decimal(85))


def test_a_part_came_back(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(ask(owner).pk)
    for back in ("20", "20", "35"):
        remote.returned = Decimal(back)
        payout = sending.bring_up(payout.pk)
        assert (payout.status, available(owner)) == (PayoutStatus.PAID, Decimal(back))
        assert reconcile.check_clearing() == []


def test_another_payout_than_the_one_asked_for(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    remote.sent[payout.public_id] = NewPayout(payout.public_id, "x", Decimal(1), "USD", "")
    remote._read = lambda asked: RemotePayout("PO-1", "pyo_other", "paid", asked.amount, "USD")  # type: ignore[method-assign]
    with pytest.raises(ServiceDown):
        sending.bring_up(payout.pk)
    payout.refresh_from_db()
    assert payout.status == PayoutStatus.SENT


def test_weekly_once_and_only_who_wants_it(
    owner: Person, organisation: Organisation, outsider: Person, remote: Remote
) -> None:
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
def test_two_workers_pay_once(owner: Person, organisation: Organisation, remote: Remote) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)

    def work(_n: int) -> None:
        try:
            sending.bring_up(payout.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    payout.refresh_from_db()
    assert (payout.status, len(remote.sent)) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0
    assert ledger.check() == []
