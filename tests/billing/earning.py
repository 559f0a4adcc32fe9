"""Acts that tests of earnings and payouts begin with: somebody's node was used, and they can be paid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

from django.urls import reverse
from freezegun import freeze_time

from accounts.models import Organisation
from billing import usage
from billing.models import PayeeProfile, Payout, PayoutMethod, Transfer
from billing.payouts import requesting
from lib.clock import now
from tests.billing.money import fund
from tests.people import Person, make_organisation

# Rows of the ledger have the time of the database, and never change: tests look at them from later on.
HELD_BACK = timedelta(days=7, minutes=1)


@contextmanager
def later(by: timedelta = HELD_BACK) -> Iterator[None]:
    """What was earned just now is no longer held back. Routes are loaded first: schemas know no frozen time."""
    reverse("billing:earnings")
    with freeze_time(now() + by, tick=True):
        yield


def earn(owner: Organisation | None, paid: str = "100", *, pod: str = "job") -> Decimal:
    """Somebody paid for a pod on the owner's node; what the owner got of it."""
    assert owner is not None
    renter, usage_id = make_organisation("Renters"), uuid4()
    fund(renter, paid)
    usage.settle(
        None,
        organisation=renter,
        currency="USD",
        usage_id=usage_id,
        amount=Decimal(paid),
        operator=owner,
        provider_slug=usage.OWN_NODES,
        keep_open=None,
        memo=pod,
    )
    share: Decimal = Transfer.objects.get(source_id=str(usage_id), credit_account__organisation=owner).amount
    return share


def can_be_paid(owner: Person, **columns: object) -> PayoutMethod:
    """Nothing is missing of the payee, and a PayPal address is known for long."""
    assert owner.organisation is not None
    PayeeProfile.objects.update_or_create(
        organisation=owner.organisation,
        defaults={
            "legal_name": "Andes Vision S.A.",
            "country": "EC",
            "tax_form": "w8bene",
            "tax_stated_at": now(),
            "tax_received_at": now(),
            "identity": "verified",
            "identity_by": "staff",
        },
    )
    address = f"{uuid4().hex}@example.com"  # what becomes of payouts to it is this test's alone
    given = {
        "kind": "paypal",
        "destination": address,
        "display": address,
        "payable_from": now() - timedelta(days=1),
        "is_default": True,
    }
    return PayoutMethod.objects.create(organisation=owner.organisation, **{**given, **columns})


def ask(owner: Person, amount: str | None = None, key: str | None = None) -> Payout:
    assert owner.organisation is not None
    return requesting.request_payout(
        organisation=owner.organisation, amount=amount, method=None, actor=owner.actor, key=key or uuid4().hex
    )
