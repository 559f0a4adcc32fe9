"""Who is told of a chargeback: the customer whose bank it is, and the staff who answer it."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise

from accounts.models import User
from accounts.roles import STAFF_CHANGES, Permission
from billing.models import Chargeback, Payment
from billing.states import ChargebackStatus
from notifications.inbox import notify, notify_people

WARN_BEFORE = timedelta(days=3)


def tell_opened(row: Chargeback) -> None:
    """A bank may only ask, and take nothing: then only staff hear of it."""
    _tell_staff(row, "opened", gettext_lazy("A payer's bank disputes a payment"))


def tell_taken(row: Chargeback, payment: Payment) -> None:
    _tell_customer(row, payment, "opened", gettext_lazy("Your bank has taken back a payment"))


def tell_decided(row: Chargeback, payment: Payment) -> None:
    won = row.status == ChargebackStatus.WON
    title = gettext_lazy("A disputed payment is won") if won else gettext_lazy("A disputed payment is lost")
    _tell_staff(row, "decided", title)
    ours = gettext_lazy("A disputed payment stands: what was taken for it is back")
    theirs = gettext_lazy("Your bank keeps a payment that was disputed")
    _tell_customer(row, payment, "decided", ours if won else theirs)


def warn_of_due(row: Chargeback) -> None:
    _tell_staff(row, "due", gettext_lazy("Evidence for a disputed payment is due in three days or less"))


def _tell_customer(row: Chargeback, payment: Payment, event: str, title: StrOrPromise) -> None:
    notify(
        payment.organisation,
        kind=f"chargeback.{event}",
        title=title,
        body=_sum(row),
        url=reverse("billing:home"),
        permission=Permission.SEE_BILLING,
    )


def _tell_staff(row: Chargeback, event: str, title: StrOrPromise) -> None:
    groups = [group for group, apps in STAFF_CHANGES.items() if "billing" in apps]
    may = Q(is_superuser=True) | Q(groups__name__in=groups)
    people = User.objects.filter(may, is_staff=True, is_active=True).distinct()
    url = reverse("console:chargeback", args=[row.public_id])
    notify_people(people, kind=f"chargeback.staff_{event}", title=title, body=_sum(row), url=url)


def _sum(row: Chargeback) -> str:
    return f"{row.amount:.2f} {row.currency} · {row.payment.public_id}"
