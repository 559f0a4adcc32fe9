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
from billing import reconcile, wallet
from billing.disputes import deciding as disputes
from billing.lifecycle import PayoutStatus
from billing.models import PayeeProfile, Payout, PayoutMethod
from billing.payouts import deciding, methods, payees, requesting, sending
from billing.payouts.earnings import earnings_of, free_from
from lib.clock import now
from lib.errors import Conflict, Invalid
from tests.billing.disputing import dispute_it, pay_out, rent
from tests.billing.earning import HELD_BACK, ask, can_be_paid, earn, later
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


def test_available_is_one_query(organisation: Organisation, django_assert_num_queries: Any) -> None:
    """So that its figures are of one moment."""
    earn(organisation)
    with django_assert_num_queries(1):
        assert earnings_of(organisation).available == 85


def test_less_than_a_cent_stays(owner: Person, organisation: Organisation) -> None:
    assert earn(organisation, "0.999999") == Decimal("0.849999")
    assert available(owner) == Decimal("0.84")


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
    given: dict[str, Any] = {
        "legal_name": "Andes Vision S.A.",
        "country": "EC",
        "tax_form": "w8bene",
        "pays_weekly": True,
    }
    profile = payees.change(organisation, **given, actor=owner.actor)
    assert [(gap.field, gap.by_us) for gap in payees.missing(profile)] == [("tax_form", True), ("identity", True)]
    shown = payees.digest(profile)
    payees.confirm_tax_form(profile, shown=shown, person=staff.user, actor=staff.actor)
    payees.confirm_identity(profile, shown=shown, person=staff.user, actor=staff.actor)
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
    payees.hold(organisation, reason="Chargebacks of your renters", person=staff.user, actor=staff.actor)
    assert sending.bring_up(payout.pk).status == PayoutStatus.NEW
    with pytest.raises(Conflict):
        requesting.move_to_wallet(organisation=organisation, amount=None, actor=owner.actor, key="k")
    payees.let_go(organisation, person=staff.user, actor=staff.actor)
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
    deciding.approve(large, person=staff.user, actor=staff.actor)
    with pytest.raises(Conflict):
        deciding.approve(large, person=staff.user, actor=staff.actor)
    assert sending.bring_up(large.pk).status == PayoutStatus.SENT


def test_called_off(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = deciding.cancel(ask(owner), actor=owner.actor)
    assert (payout.status, available(owner)) == (PayoutStatus.CANCELLED, Decimal(85))
    assert sending.bring_up(payout.pk).status == PayoutStatus.CANCELLED
    sent = sending.bring_up(ask(owner).pk)
    with pytest.raises(Conflict):
        deciding.cancel(sent, actor=owner.actor)


def test_what_waits_for_a_removed_method_is_called_off(owner: Person, organisation: Organisation, paypal: str) -> None:
    """Its owner did not add it: nothing more goes there."""
    earn(organisation)
    method = can_be_paid(owner)
    left, *waiting = sending.bring_up(ask(owner, "20").pk), ask(owner, "20"), ask(owner, "10")
    methods.remove(method, actor=owner.actor)
    for waits in waiting:
        waits.refresh_from_db()
        assert (waits.status, waits.reason) == (PayoutStatus.CANCELLED, "method_removed")
    assert sending.bring_up(left.pk).status == PayoutStatus.PAID
    assert available(owner) == 65
    with pytest.raises(Conflict) as refusal:
        requesting.request_payout(
            organisation=organisation, amount="20", method=method, actor=owner.actor, key=uuid4().hex
        )
    assert refusal.value.code == "no_method"


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


def test_what_is_disputed_is_not_held_back_besides(organisation: Organisation, outsider: Person) -> None:
    with freeze_time(now() - HELD_BACK):  # that is: just now
        assert outsider.organisation is not None
        pod = rent(outsider.organisation, organisation, ["100"])
        earn(organisation)
        before = earnings_of(organisation)
        dispute_it(outsider, pod)
        after = earnings_of(organisation)
    assert (before.held_back, before.set_aside) == (Decimal(170), Decimal(0))
    assert (after.held_back, after.set_aside) == (Decimal(85), Decimal(85))


def test_what_is_disputed_and_was_not_there_waits(owner: Person, organisation: Organisation, outsider: Person) -> None:
    """The owner had it paid out before: what comes since is for the dispute first."""
    assert outsider.organisation is not None
    pod = rent(outsider.organisation, organisation, ["100"])
    pay_out(organisation, "60")
    dispute = dispute_it(outsider, pod)
    assert dispute.held == 25
    earn(organisation)
    found = earnings_of(organisation)
    assert (found.balance, found.set_aside, found.available) == (Decimal(110), Decimal(85), Decimal(25))
    with pytest.raises(Invalid):
        requesting.move_to_wallet(organisation=organisation, amount="25.01", actor=owner.actor, key="k")
    with freeze_time(now() + timedelta(days=30)):
        disputes.reconcile_disputes()
    with freeze_time(now() + timedelta(days=60)):
        disputes.reconcile_disputes()
    found = earnings_of(organisation)
    assert (found.balance, found.set_aside, found.available) == (Decimal(25), Decimal(0), Decimal(25))


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
