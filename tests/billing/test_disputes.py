"""A renter against an owner: what is set aside, said, decided, appealed, and how the money moves, to the last unit."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from freezegun import freeze_time

from accounts.models import AuditEntry, Member, Organisation
from billing import wallet
from billing.disputes import deciding, opening
from billing.models import Account, Dispute, Transfer
from lib.clock import now
from lib.errors import Conflict, Forbidden, Invalid, NotFound
from tests.billing.disputing import dispute_it, earnings, pay_out, rent, use
from tests.people import Person, join, make_user
from tests.undone import undone

LATER = timedelta(days=7, minutes=1)
ODD = ["0.333333", "0.000001", "1.234567", "0.000003"]  # none of which 85 % divides evenly


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def machine_owner(operator: Organisation) -> Person:
    return join(operator, "owner@machines.example", "owner")


@pytest.fixture
def second_staff(db: None) -> Person:
    return Person(user=make_user("second@gpubroker.example", is_staff=True, is_superuser=True))


def usd(organisation: Organisation) -> Any:
    return wallet.balance(organisation, "USD").available


def revenue() -> Any:
    sums = Account.objects.filter(kind="revenue", currency="USD").aggregate(
        out=Sum("debits_posted"), back=Sum("credits_posted")
    )
    return (sums["back"] or Decimal(0)) - (sums["out"] or Decimal(0))


def facts(*values: Any) -> tuple[Any, ...]:
    """Sums are compared with whole numbers, too."""
    return values


def answer(dispute: Dispute, person: Person, text: str = "It ran.") -> Dispute:
    assert person.organisation is not None
    return opening.answer(dispute=dispute, side=person.organisation, text=text, actor=person.actor)


def appeal(dispute: Dispute, person: Person, text: str = "Look again.") -> Dispute:
    assert person.organisation is not None
    return opening.appeal(dispute=dispute, side=person.organisation, text=text, actor=person.actor)


def decide(dispute: Dispute, person: Person, refund: str, note: str = "As the records say.") -> Dispute:
    return deciding.decide(dispute=dispute, refund=refund, note=note, person=person.user)


def pass_time(after: timedelta = LATER) -> None:
    with freeze_time(now() + after):
        deciding.reconcile_disputes()


def test_all_of_it_goes_back(
    owner: Person, organisation: Organisation, machine_owner: Person, operator: Organisation, staff: Person
) -> None:
    pod = rent(organisation, operator, ODD)
    paid = sum(map(Decimal, ODD), Decimal(0))
    before = revenue()
    assert (earnings(operator)[0] + before, usd(organisation)) == (paid, 0)
    dispute = dispute_it(owner, pod)
    assert (dispute.amount, dispute.paid, dispute.held) == (paid, paid, dispute.earned)
    assert earnings(operator) == (dispute.earned, dispute.earned)
    answer(dispute, machine_owner)
    decided = decide(dispute, staff, str(paid))
    assert (decided.status, usd(organisation)) == ("decided", 0)
    pass_time()
    dispute.refresh_from_db()
    assert (dispute.status, dispute.refunded, usd(organisation)) == ("final", paid, paid)
    assert earnings(operator) == (0, 0)
    assert revenue() == 0, "nobody keeps a unit of it"
    assert Transfer.objects.filter(source_type="dispute", source_id=str(dispute.pk)).count() == 3


@pytest.mark.parametrize("refund", ["0", "0.000001", "0.5", "1.000003"])
def test_a_part_goes_back(
    owner: Person,
    organisation: Organisation,
    machine_owner: Person,
    operator: Organisation,
    staff: Person,
    refund: str,
) -> None:
    pod = rent(organisation, operator, ODD)
    dispute = dispute_it(owner, pod, "1.000003")
    total, held = earnings(operator)
    assert held == dispute.held < total
    answer(dispute, machine_owner)
    decide(dispute, staff, refund)
    pass_time()
    left, still_held = earnings(operator)
    assert (usd(organisation), still_held) == (Decimal(refund), 0)
    assert abs((total - left) - Decimal(refund) * dispute.earned / dispute.paid) <= Decimal("0.000001")


def test_no_answer_is_for_the_renter(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    pass_time(timedelta(days=6))
    dispute.refresh_from_db()
    assert dispute.status == "open"
    pass_time()
    dispute.refresh_from_db()
    [decision] = dispute.decisions.all()
    assert facts(dispute.status, decision.by, decision.refund) == ("decided", None, 1)
    pass_time(LATER * 2)
    assert usd(organisation) == 1
    with pytest.raises(Conflict):
        appeal(dispute, machine_owner)


def test_late_answers_and_appeals_are_refused_before_the_worker_looks(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person, staff: Person
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    with freeze_time(now() + LATER), pytest.raises(Conflict):
        answer(dispute, machine_owner)
    answer(dispute, machine_owner)
    decide(dispute, staff, "0")
    with freeze_time(now() + LATER), pytest.raises(Conflict):
        appeal(dispute, owner)


def test_appeal_and_second_decision(
    owner: Person,
    organisation: Organisation,
    operator: Organisation,
    machine_owner: Person,
    staff: Person,
    second_staff: Person,
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["2"]))
    answer(dispute, machine_owner)
    decide(dispute, staff, "0")
    appeal(dispute, owner)
    with pytest.raises(Conflict, match="appealed already"):
        appeal(dispute, owner)
    appeal(dispute, machine_owner)
    pass_time()
    dispute.refresh_from_db()
    assert dispute.status == "appealed", "no deadline decides about an appeal"
    with pytest.raises(Conflict, match="Somebody else"):
        decide(dispute, staff, "2")
    final = decide(dispute, second_staff, "1")
    assert facts(final.status, final.refunded, usd(organisation)) == ("final", 1, 1)
    assert earnings(operator) == (Decimal("0.85"), 0)
    with pytest.raises(Conflict):
        appeal(final, owner)
    with pytest.raises(Conflict):
        decide(final, staff, "2")
    with pytest.raises(Conflict):
        answer(final, machine_owner)
    assert decide(final, second_staff, "1") == final, "sent twice it decides once"


def test_staff_wait_for_the_answer(
    owner: Person, organisation: Organisation, operator: Organisation, staff: Person
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    with pytest.raises(Conflict):
        decide(dispute, staff, "1")


def test_no_member_of_a_side_decides(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person, staff: Person
) -> None:
    dispute = answer(dispute_it(owner, rent(organisation, operator, ["1"])), machine_owner)
    Member.objects.create(organisation=operator, user=staff.user, role="viewer")
    with pytest.raises(Forbidden):
        decide(dispute, staff, "0")


@pytest.mark.parametrize("refund", ["1.000001", "-1", "nan", "abc", "", "0.0000001", "1e30"])
def test_wrong_decisions(
    owner: Person,
    organisation: Organisation,
    operator: Organisation,
    machine_owner: Person,
    staff: Person,
    refund: str,
) -> None:
    dispute = answer(dispute_it(owner, rent(organisation, operator, ["1"])), machine_owner)
    with pytest.raises(Invalid):
        decide(dispute, staff, refund)
    with pytest.raises(Invalid):
        decide(dispute, staff, "1", note=" ")
    assert Dispute.objects.get().status == "answered"


@pytest.mark.parametrize("amount", ["0", "0.0", "-1", "1.000001", "1e400", "nan", "x", "0.0000001"])
def test_wrong_sums(owner: Person, organisation: Organisation, operator: Organisation, amount: str) -> None:
    pod = rent(organisation, operator, ["1"])
    with pytest.raises(Invalid) as refusal:
        dispute_it(owner, pod, amount)
    assert "amount" in refusal.value.fields
    assert earnings(operator) == (Decimal("0.85"), 0)


@pytest.mark.parametrize("given", [{"reason": "revenge"}, {"text": " "}, {"text": "x" * 4001}, {"text": "a\x00b"}])
def test_wrong_words(owner: Person, organisation: Organisation, operator: Organisation, given: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        dispute_it(owner, rent(organisation, operator, ["1"]), **given)
    assert not Dispute.objects.exists()


def test_what_cannot_be_disputed(
    owner: Person, organisation: Organisation, operator: Organisation, outsider: Person, viewer: Person
) -> None:
    ours = rent(organisation, None, ["1"])
    own = rent(organisation, organisation, ["1"])
    late = rent(organisation, operator, ["1"], until=now() - timedelta(days=14, minutes=1))
    for pod in (ours, own, late):
        with pytest.raises(Conflict) as refusal:
            dispute_it(owner, pod)
        assert refusal.value.code == "nothing_to_dispute"
    theirs = rent(organisation, operator, ["1"])
    with pytest.raises(NotFound):
        dispute_it(outsider, theirs)
    with pytest.raises(Forbidden):
        dispute_it(viewer, theirs)
    with pytest.raises(Invalid):
        dispute_it(owner, theirs, owner="org_" + "0" * 26)
    assert not Dispute.objects.exists()


def test_old_usage_is_left_out(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    pod = rent(organisation, operator, ["5"], until=now() - timedelta(days=20))
    use(pod, operator, ["1", "1"])
    assert dispute_it(owner, pod).paid == 2


def test_twice(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person, staff: Person
) -> None:
    pod = rent(organisation, operator, ["1"], until=now() - timedelta(hours=1))
    dispute = dispute_it(owner, pod, "0.4", idempotency_key="k")
    assert dispute_it(owner, pod, "0.4", idempotency_key="k") == dispute
    with pytest.raises(Conflict) as refusal:
        dispute_it(owner, pod, "0.5", idempotency_key="k")
    assert refusal.value.code == "idempotency_conflict"
    with pytest.raises(Conflict):
        dispute_it(owner, pod, "0.4")
    use(pod, operator, ["3"])
    with pytest.raises(Conflict) as refusal:
        dispute_it(owner, pod)
    assert refusal.value.code == "disputed_already"
    answer(dispute, machine_owner)
    decide(dispute, staff, "0")
    pass_time()
    assert dispute_it(owner, pod).paid == 3, "only what was not disputed before"


def test_two_owners(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    from tests.people import make_organisation

    other = make_organisation("Other machines")
    pod = rent(organisation, operator, ["1"])
    use(pod, other, ["2"])
    with pytest.raises(Invalid) as refusal:
        dispute_it(owner, pod)
    assert "owner" in refusal.value.fields
    first = dispute_it(owner, pod, owner=operator.public_id)
    second = dispute_it(owner, pod, owner=other.public_id)
    assert facts(first.paid, second.paid, first.owner, second.owner) == (1, 2, operator, other)


def test_as_much_as_is_there(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person, staff: Person
) -> None:
    pod = rent(organisation, operator, ["10"])
    pay_out(operator, "8.00")
    dispute = dispute_it(owner, pod)
    assert dispute.held == Decimal("0.5")
    assert b"less than the owner" in owner.client.get(f"/billing/disputes/{dispute.public_id}/").content
    answer(dispute, machine_owner)
    decide(dispute, staff, "10")
    with undone():
        pass_time()
        assert usd(organisation) == Decimal("2.0"), "what is held, and our 15 %"
        assert earnings(operator) == (0, 0)
    rent(organisation, operator, ["4"])  # the owner goes on earning
    pass_time()
    dispute.refresh_from_db()
    assert facts(usd(organisation), dispute.refunded, earnings(operator)) == (Decimal("5.4"), Decimal("5.4"), (0, 0))


def test_nothing_is_there(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    pod = rent(organisation, operator, ["10"])
    pay_out(operator, "8.50")
    assert dispute_it(owner, pod).held == 0
    pass_time()
    pass_time(LATER * 2)
    assert usd(organisation) == Decimal("1.5")


def test_people_are_told(
    owner: Person,
    organisation: Organisation,
    operator: Organisation,
    machine_owner: Person,
    staff: Person,
    mailoutbox: list[Any],
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    answer(dispute, machine_owner)
    decide(dispute, staff, "1")
    appeal(dispute, machine_owner)
    told = [(mail.to[0].partition("@")[2], mail.subject) for mail in mailoutbox]
    assert told == [
        ("machines.example", "A renter disputes what was paid for your machine"),
        ("andes.example", "The owner has answered your dispute"),
        ("andes.example", "Your dispute is decided"),
        ("machines.example", "Your dispute is decided"),
        ("andes.example", "The other side has appealed"),
    ]
    assert dispute.public_id in mailoutbox[0].body
    actions = AuditEntry.objects.filter(organisation=operator, action__startswith="dispute.").order_by("sequence")
    assert list(actions.values_list("action", flat=True)) == [
        "dispute.open",
        "dispute.answer",
        "dispute.decide",
        "dispute.appeal",
    ]
