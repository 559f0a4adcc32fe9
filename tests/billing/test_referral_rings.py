"""Who refers themselves gets nothing, whatever it is that both sides share."""

from __future__ import annotations

from itertools import pairwise

import pytest

from accounts.models import Member, Organisation
from billing import referrals
from billing.models import CreditLot, LinkedWallet, Referral
from billing.referral_rings import LONGEST_LINE, line_of
from lib.clock import now
from tests.billing.referring import look, paid_month, refer, save_card
from tests.people import Person, join, make_organisation

ADDRESS = "0x" + "c" * 40


@pytest.fixture
def newcomer(db: None) -> Organisation:
    return make_organisation("Newcomers")


def assert_refused(reason: str) -> None:
    referral = Referral.objects.latest("pk")
    assert (referral.status, referral.reason) == ("refused", reason)
    assert not CreditLot.objects.exists()


def test_nobody_brings_themselves(organisation: Organisation) -> None:
    assert referrals.record(referrer=organisation, referred=organisation) is None
    assert not Referral.objects.exists()


def test_the_first_referrer_counts(organisation: Organisation, newcomer: Organisation, outsider: Person) -> None:
    first = refer(organisation, newcomer)
    assert outsider.organisation is not None
    assert refer(outsider.organisation, newcomer) == first


def test_same_person_at_sign_up(organisation: Organisation, owner: Person, newcomer: Organisation) -> None:
    Member.objects.create(organisation=newcomer, user=owner.user, role="owner")
    refer(organisation, newcomer)
    assert_refused("person")


def test_same_person_later(organisation: Organisation, newcomer: Organisation) -> None:
    guest = join(newcomer, "guest@newcomers.example", "owner")
    refer(organisation, newcomer)
    paid_month(newcomer)
    look(1)
    Member.objects.create(organisation=organisation, user=guest.user, role="viewer")
    look(1)
    assert_refused("person")


@pytest.mark.parametrize("removed", [False, True])
def test_same_card(organisation: Organisation, newcomer: Organisation, removed: bool) -> None:
    refer(organisation, newcomer)
    save_card(newcomer, "fp_1")
    other = save_card(organisation, "fp_1")
    if removed:
        other.removed_at = now()
        other.save()
    paid_month(newcomer)
    look()
    assert_refused("card")


def test_unknown_fingerprints_are_not_the_same(organisation: Organisation, newcomer: Organisation) -> None:
    save_card(organisation, "")
    save_card(newcomer, "")
    refer(organisation, newcomer)
    paid_month(newcomer)
    paid_month(organisation)
    look()
    assert Referral.objects.get().status == "rewarded"


def test_same_paypal_account(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    paid_month(organisation, payer="Payer@Example.com")
    paid_month(newcomer, payer="payer@example.com")
    look()
    assert_refused("payer")


def test_same_wallet(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    LinkedWallet.objects.create(organisation=organisation, address=ADDRESS, unlinked_at=now())
    LinkedWallet.objects.create(organisation=newcomer, address=ADDRESS)
    paid_month(newcomer)
    look()
    assert_refused("wallet")


def test_card_shared_with_who_brought_the_referrer(organisation: Organisation, newcomer: Organisation) -> None:
    middle = make_organisation("Middle")
    refer(organisation, middle)
    refer(middle, newcomer)
    save_card(organisation, "fp_1")
    save_card(newcomer, "fp_1")
    paid_month(newcomer)
    look()
    assert_refused("card")


def test_one_card_behind_many_newcomers(organisation: Organisation) -> None:
    first, second = make_organisation("First"), make_organisation("Second")
    for newcomer in (first, second):
        refer(organisation, newcomer)
        save_card(newcomer, "fp_1")
    paid_month(second)
    look()
    assert_refused("card")


def test_card_of_a_stranger_is_nothing(organisation: Organisation, newcomer: Organisation, outsider: Person) -> None:
    assert outsider.organisation is not None
    refer(organisation, newcomer)
    save_card(newcomer, "fp_1")
    save_card(outsider.organisation, "fp_1")
    paid_month(newcomer)
    look()
    assert Referral.objects.get().status == "rewarded"


@pytest.mark.parametrize("length", [2, 3, 5])
def test_cycles(db: None, length: int) -> None:
    ring = [make_organisation(f"R{number}") for number in range(length)]
    for referrer, referred in pairwise(ring):
        assert refer(referrer, referred).status == "signed_up"
    refer(ring[-1], ring[0])
    assert_refused("cycle")
    assert len(line_of(ring[0].pk)) == length


def test_a_long_line_ends(organisation: Organisation) -> None:
    last = organisation
    for number in range(LONGEST_LINE + 2):
        newcomer = make_organisation(f"L{number}")
        refer(last, newcomer)
        last = newcomer
    assert len(line_of(last.pk)) == LONGEST_LINE
