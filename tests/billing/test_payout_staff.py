"""Staff and payouts: nobody decides about their own money, what was read is confirmed, nothing falls off the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import AuditEntry, Member, Organisation
from billing.models import BankFile, PayeeProfile, Payout, PayoutMethod
from billing.payouts import bank, deciding, payees, unclear
from lib.clock import now
from lib.errors import Conflict, Forbidden
from lib.secrets import seal
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.people import Person, make_organisation

PAGE = "/staff/payouts/"
BANK = {"kind": "bank", "destination": "", "bic": "BNPAFRPP", "holder": "Andes"}


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    with later():
        yield


def shown(answer: Any) -> str:
    text: str = answer.content.decode()
    return text


def by_bank(owner: Person, amount: str) -> Payout:
    earn(owner.organisation)
    if not PayoutMethod.objects.filter(organisation=owner.organisation).exists():
        can_be_paid(owner, **BANK, sealed_account=seal("FR1420041010050500013M02606"))
    return ask(owner, amount)


def acts(payout: Payout, person: Person) -> list[Callable[[], object]]:
    by: dict[str, Any] = {"person": person.user, "actor": person.actor}
    profile = payees.profile_of(payout.organisation)
    digest = payees.digest(profile)
    return [
        lambda: payees.confirm_tax_form(profile, shown=digest, **by),
        lambda: payees.confirm_identity(profile, shown=digest, **by),
        lambda: payees.hold(payout.organisation, reason="No", **by),
        lambda: payees.let_go(payout.organisation, **by),
        lambda: deciding.approve(payout, **by),
        lambda: bank.mark_paid(payout, **by),
        lambda: bank.mark_returned(payout, reason="AC04", **by),
        lambda: unclear.was_paid(payout, ref="B1", reason="Seen there", **by),
        lambda: unclear.never_left(payout, reason="Not there", **by),
    ]


def test_nobody_decides_about_their_own_money(owner: Person, organisation: Organisation, staff: Person) -> None:
    payout = by_bank(owner, "20")
    Member.objects.create(organisation=organisation, user=staff.user, role="viewer")
    before = Payout.objects.values().get(), PayeeProfile.objects.values().get()
    for act in acts(payout, staff):
        with pytest.raises(Forbidden):
            act()
    assert (Payout.objects.values().get(), PayeeProfile.objects.values().get()) == before


def test_nobody_approves_what_they_asked_for(owner: Person, staff: Person, settings: Any) -> None:
    """Even when they have left the organisation since."""
    settings.PAYOUT_APPROVAL_ABOVE = Decimal(10)
    payout = by_bank(owner, "20")
    Payout.objects.update(requested_by=staff.user)
    with pytest.raises(Forbidden):
        deciding.approve(payout, person=staff.user, actor=staff.actor)


def test_what_was_read_is_confirmed(owner: Person, organisation: Organisation, staff: Person) -> None:
    stated: dict[str, Any] = {"legal_name": "Andes Vision", "country": "EC", "tax_form": "w8ben", "pays_weekly": True}
    read = payees.change(organisation, **stated, actor=owner.actor)
    by: dict[str, Any] = {"shown": payees.digest(read), "person": staff.user, "actor": staff.actor}
    payees.change(organisation, **{**stated, "country": "RU"}, actor=owner.actor)
    for confirm in (payees.confirm_tax_form, payees.confirm_identity):
        with pytest.raises(Conflict) as refusal:
            confirm(read, **by)
        assert refusal.value.code == "changed_since"
    answer = staff.client.post(f"{PAGE}payees/{organisation.public_id}/identity/", {"shown": by["shown"]}, follow=True)
    assert "look at it again" in shown(answer)
    assert payees.profile_of(organisation).identity == "pending"


def test_somebody_of_whom_nothing_is_missing_can_be_held(
    owner: Person, organisation: Organisation, staff: Person
) -> None:
    by_bank(owner, "20")
    place = f"{PAGE}payees/{organisation.public_id}/"
    page = shown(staff.client.get(PAGE))
    assert f"{place}hold/" in page
    assert f"{place}let-go/" not in page
    staff.client.post(f"{place}hold/", {"reason": " "})
    assert payees.profile_of(organisation).hold_reason == ""
    staff.client.post(f"{place}hold/", {"reason": "A look at your renters"})
    page = shown(staff.client.get(PAGE))
    assert "A look at your renters" in page
    assert f"{place}hold/" not in page
    staff.client.post(f"{place}let-go/")
    assert payees.profile_of(organisation).hold_reason == ""
    actions = AuditEntry.objects.filter(organisation=organisation, action__startswith="payee.")
    assert list(actions.order_by("sequence").values_list("action", flat=True)) == ["payee.hold", "payee.let_go"]


def test_who_waits_longest_leads(owner: Person, organisation: Organisation, staff: Person) -> None:
    """However many came after, and are complete."""
    PayeeProfile.objects.create(organisation=organisation, legal_name="Waits for us", country="EC", tax_form="w8ben")
    PayeeProfile.objects.update(tax_stated_at=now())
    for n in range(110):
        PayeeProfile.objects.create(
            organisation=make_organisation(f"Later {n}"),
            legal_name="Complete",
            country="EC",
            tax_form="w8ben",
            tax_stated_at=now(),
            tax_received_at=now(),
            identity="verified" if n < 55 else "pending",
        )
    page = staff.client.get(PAGE)
    assert "Waits for us" in shown(page)
    assert page.context["payees"].paginator.count == 56
    assert "payees=2" in shown(page)
    assert len(staff.client.get(PAGE, {"payees": "2"}).context["payees"].object_list) == 6


def test_incomplete_are_those_of_whom_something_is_missing(organisation: Organisation) -> None:
    whole = {"legal_name": "Andes", "country": "EC", "tax_form": "w9", "tax_received_at": now(), "identity": "verified"}
    gaps: list[dict[str, Any]] = [
        {},
        {"legal_name": ""},
        {"country": ""},
        {"tax_form": "none"},
        {"tax_received_at": None},
        {"identity": "unverified"},
        {"identity": "pending"},
        {"hold_reason": "A look"},
    ]
    for n, gap in enumerate(gaps):
        PayeeProfile.objects.create(organisation=make_organisation(str(n)), **{**whole, **gap})
    found = set(payees.incomplete())
    assert len(found) == len(gaps) - 1
    assert found == {profile for profile in PayeeProfile.objects.all() if payees.missing(profile)}


def test_the_oldest_open_payout_leads(owner: Person, staff: Person) -> None:
    first = by_bank(owner, "20")
    same = {"organisation": first.organisation, "method": first.method, "kind": "bank", "currency": "USD"}
    Payout.objects.bulk_create(
        Payout(**same, amount=Decimal(10), not_before=now(), idempotency_key=f"many-{n}") for n in range(50)
    )
    page = staff.client.get(PAGE)
    assert page.context["open"].object_list[0] == first
    assert "open=2" in shown(page)
    assert len(staff.client.get(PAGE, {"open": "2"}).context["open"].object_list) == 1


def test_a_whole_file_is_marked_and_one_comes_back(owner: Person, outsider: Person, staff: Person) -> None:
    mine, *others = by_bank(outsider, "20"), by_bank(owner, "20"), by_bank(owner, "30")
    Member.objects.create(organisation=mine.organisation, user=staff.user, role="viewer")
    staff.client.post(f"{PAGE}bank-file/")
    file = BankFile.objects.get()
    assert "Mark all 3 payouts as paid" in shown(staff.client.get(PAGE))
    answer = staff.client.post(f"{PAGE}bank-file/{file.public_id}/paid/", follow=True)
    assert "2 payouts are marked as paid." in shown(answer)
    assert set(Payout.objects.filter(status="paid")) == set(others)
    with pytest.raises(Conflict) as refusal:
        bank.mark_file_paid(file, person=staff.user, actor=staff.actor)
    assert refusal.value.code == "nothing_to_mark"
    written = others[0].public_id.replace("_", "-")  # as the bank's statement has it
    found = staff.client.get(PAGE, {"payout": written})
    assert list(found.context["ended"]) == [others[0]]
    assert f"{others[0].public_id}/returned/" in shown(found)
    for unknown in ("pyo-x", "\x00", "x" * 500):
        assert "No open payout has this id." in shown(staff.client.get(PAGE, {"payout": unknown}))


def test_who_reads_account_numbers_is_written_down(owner: Person, organisation: Organisation, staff: Person) -> None:
    by_bank(owner, "20")
    file = bank.export(person=staff.user, actor=staff.actor)
    assert not AuditEntry.objects.filter(action="bank_file.read").exists()
    assert staff.client.get(f"{PAGE}bank-file/{file.public_id}.xml").status_code == 200
    entry = AuditEntry.objects.get(action="bank_file.read")
    assert (entry.organisation, entry.object_id) == (organisation, file.public_id)
    assert (entry.actor_kind, entry.actor_id) == ("staff", str(staff.user.pk))
