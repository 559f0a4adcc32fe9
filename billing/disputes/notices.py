"""Telling both sides of a dispute: in the page and by mail, in the transaction that changes it."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation, User
from accounts.roles import ROLE_PERMISSIONS, Permission
from billing.models import Dispute
from notifications.inbox import notify
from notifications.mail import send

READERS = [role for role, granted in ROLE_PERMISSIONS.items() if Permission.SEE_BILLING in granted]
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
        "url": f"{settings.PUBLIC_URL}{page}",
    }
    for side in sides:
        notify(
            side,
            kind=f"dispute.{event}",
            title=title,
            body=dispute.pod_name,
            url=page,
            permission=Permission.SEE_BILLING,
        )
        readers = User.objects.filter(memberships__organisation=side, memberships__role__in=READERS, is_active=True)
        for address in sorted(set(readers.values_list("email", flat=True))):
            send(address, "billing/mail/dispute", context)
