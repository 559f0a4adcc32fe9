"""Compute credits: given at sign-up, spent on Catalyst nodes at rates that are dated rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing import lots
from billing.ledger import transfer_id
from billing.models import CreditLot, CreditRate
from lib.clock import now
from lib.errors import Conflict, Invalid, NotFound
from lib.ids import decode_id
from lib.money import parse_amount
from notifications.inbox import notify

SIGNUP_CREDITS = Decimal(10)
SIGNUP_LIFE = timedelta(days=90)
CPU = "cpu"


class NoRate(Conflict):
    """Nobody has said what this resource costs in credits."""

    code = "no_credit_rate"


def grant_signup_credits(organisation: Organisation) -> None:
    """Ten credits, once for each organisation however often this is called."""
    id = transfer_id("signup_credits", organisation.pk)
    if not CreditLot.objects.filter(pk=id).exists():
        lots.grant(organisation, SIGNUP_CREDITS, id=id, source=lots.Source.SIGN_UP, expires_at=now() + SIGNUP_LIFE)


def rate(resource: str, at: datetime, *, name: str = "") -> Decimal:
    """Credits per unit-hour of a resource (`cpu`: a slot of a CPU node; a GPU model's slug: one GPU) at a moment.

    `name` is what a refusal calls it.
    """
    row = CreditRate.objects.filter(resource=resource, valid_from__lte=at).order_by("-valid_from").first()
    if row is None:
        raise NoRate(_("“%s” cannot be paid with compute credits.") % (name or resource))
    return row.credits_per_hour


def current_rates(at: datetime) -> list[CreditRate]:
    """The rate of each resource at a moment, by resource."""
    rows = CreditRate.objects.filter(valid_from__lte=at)
    return list(rows.order_by("resource", "-valid_from").distinct("resource"))


def hand_on(*, sender: Organisation, to: str, amount: Decimal | str, actor: Actor, key: str) -> Organisation:
    """Give credits to another organisation, named by its id (`org_…`). The same key moves them once.

    Raises Invalid beside `to` or `amount`, Conflict for more than can be handed on, Overdraft.
    """
    sum_ = parse_amount(amount, currency=lots.CURRENCY)
    receiver = _receiver(to)
    with transaction.atomic():
        if not lots.transfer(sender, receiver, sum_, id=transfer_id("credit_transfer", sender.pk, key)):
            return receiver
        audit.record(sender.pk, actor, "credits.transfer", receiver, {"amount": str(sum_)})
        notify(
            receiver,
            kind="credits.received",
            title=gettext_lazy("You have received compute credits"),
            body=f"{sum_:f} · {sender.name}",
            url=reverse("billing:credits"),
            permission=Permission.SEE_BILLING,
        )
    return receiver


def _receiver(public_id: str) -> Organisation:
    message = _("There is no organisation with this ID.")
    try:
        found = Organisation.objects.filter(pk=decode_id("org", public_id.strip())).first()
    except NotFound:
        found = None
    if found is None:
        raise Invalid(message, fields={"to": [message]})
    return found
