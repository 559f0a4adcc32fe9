"""Telling both sides of a dispute: in the page and by mail, in the transaction that changes it."""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation
from accounts.roles import Permission
from billing.models import Dispute
from notifications import news

TITLES: dict[str, StrOrPromise] = {
    "opened": _("A renter disputes what was paid for your machine"),
    "answered": _("The owner has answered your dispute"),
    "decided": _("Your dispute is decided"),
    "appealed": _("The other side has appealed"),
    "closed": _("Your dispute is closed"),
}


def tell(dispute: Dispute, event: str, *sides: Organisation) -> None:
    """Once: the caller has just changed the dispute."""
    page = reverse("billing:dispute", args=[dispute.public_id])
    title = TITLES[event]
    context = {
        "title": title,
        "dispute": dispute,
        "amount": f"{dispute.amount.normalize():f} {dispute.currency}",
        "refunded": f"{dispute.refunded.normalize():f} {dispute.currency}",
    }
    for side in sides:
        news.tell(
            side,
            permission=Permission.SEE_BILLING,
            kind=f"dispute.{event}",
            title=title,
            body=dispute.pod_name,
            page=page,
            mail="billing/mail/dispute",
            context=context,
        )
