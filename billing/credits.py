"""Compute credits: given at sign-up, spent on Catalyst nodes at rates that are dated rows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.models import CreditRate
from lib.errors import Conflict

SIGNUP_CREDITS = Decimal(10)
CPU = "cpu"


class NoRate(Conflict):
    """Nobody has said what this resource costs in credits."""

    code = "no_credit_rate"


@transaction.atomic
def grant_signup_credits(organisation: Organisation) -> None:
    """Ten credits, once for each organisation however often this is called."""
    id = transfer_id("signup_credits", organisation.pk)
    ledger.post(
        [
            Leg(
                id=id,
                debit=platform_account(Kind.CREDIT_ISSUE, "CREDIT", id).pk,
                credit=wallet_of(organisation, "CREDIT").pk,
                amount=SIGNUP_CREDITS,
                currency="CREDIT",
                source_type="signup_credits",
                source_id=str(organisation.pk),
            )
        ]
    )


def rate(resource: str, at: datetime) -> Decimal:
    """Credits per unit-hour of a resource (`cpu`: a slot of a CPU node; a GPU model's slug: one GPU) at a moment."""
    row = CreditRate.objects.filter(resource=resource, valid_from__lte=at).order_by("-valid_from").first()
    if row is None:
        raise NoRate(_("“%s” cannot be paid with compute credits.") % resource)
    return row.credits_per_hour


def current_rates(at: datetime) -> list[CreditRate]:
    """The rate of each resource at a moment, by resource."""
    rows = CreditRate.objects.filter(valid_from__lte=at)
    return list(rows.order_by("resource", "-valid_from").distinct("resource"))
