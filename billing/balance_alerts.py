"""A word in time: when a balance falls below what people have named, and before it runs out at the present burn.

Each is told once, and again only after the balance, or the runway, has been above. What was already short when spending
began is not told of: whoever starts a pod reads the runway there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy
from django_stubs_ext import StrOrPromise

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing import wallet
from billing.accounts import WALLET_KIND
from billing.models import Account, BalanceAlert
from lib.clock import now
from lib.errors import Invalid
from lib.money import parse_amount
from lib.templatetags.numbers import money
from notifications.news import tell

log = logging.getLogger(__name__)
RUNWAY_HOURS = (24, 6, 1)
AT_ONCE = 500  # balances that are read by one query
NAMES = {"USD": gettext_lazy("Wallet"), "USDC": "USDC", "CREDIT": gettext_lazy("Compute credits")}


def alerts_of(organisation: Organisation) -> list[BalanceAlert]:
    """One for each currency; those that nobody has changed are not saved."""
    stored = {row.currency: row for row in BalanceAlert.objects.filter(organisation=organisation)}
    return [stored.get(name) or BalanceAlert(organisation=organisation, currency=name) for name in wallet.BALANCES]


def change(
    organisation: Organisation, *, currency: str, below: Decimal | str | None, watches_runway: bool, actor: Actor
) -> BalanceAlert:
    """Empty `below`: no word of a low balance. Raises Invalid beside the field."""
    if currency not in wallet.BALANCES:
        message = _("There is no balance in this currency.")
        raise Invalid(message, fields={"currency": [message]})
    least = None if below is None or below == "" else parse_amount(below, currency=currency, field="below")
    columns: dict[str, Any] = {"below": least, "watches_runway": watches_runway, "told_at": None}
    with transaction.atomic():
        row, _made = BalanceAlert.objects.update_or_create(
            organisation=organisation, currency=currency, defaults=columns
        )
        about = {"currency": currency, "below": None if least is None else str(least), "runway": watches_runway}
        audit.record(organisation.pk, actor, "balance_alert.change", row, about)
    return row


def watch_balances() -> None:
    """Look at every balance that somebody wants to hear of, and at every one that is being spent."""
    spending = _spending()
    BalanceAlert.objects.bulk_create(
        [BalanceAlert(organisation_id=owner, currency=currency) for owner, currency in _not_watched(spending)],
        ignore_conflicts=True,
    )
    here = spending.filter(organisation=OuterRef("organisation"), currency=OuterRef("currency"))
    watched = BalanceAlert.objects.filter(Q(below__isnull=False) | Q(runway_level__isnull=False) | Exists(here))
    alerts = watched.select_related("organisation").iterator()
    while some := list(islice(alerts, AT_ONCE)):
        _look_at(some)


def _spending() -> QuerySet[Account]:
    """The balances from which money is set aside now."""
    kinds = set(WALLET_KIND.values())
    return Account.objects.filter(kind__in=kinds, organisation__isnull=False, debits_pending__gt=0)


def _not_watched(spending: QuerySet[Account]) -> QuerySet[Any, Any]:
    known = BalanceAlert.objects.filter(organisation=OuterRef("organisation"), currency=OuterRef("currency"))
    return spending.filter(~Exists(known)).values_list("organisation_id", "currency")


def _look_at(alerts: Collection[BalanceAlert]) -> None:
    owners = {alert.organisation_id for alert in alerts}
    balances, burns = wallet.balances_of(owners), wallet.burns_of(owners)
    for alert in alerts:
        key = alert.organisation_id, alert.currency
        balance = balances.get(key) or wallet.Balance(alert.currency)
        try:
            _look_at_balance(alert, balance.available)
            _look_at_runway(alert, balance.available, _level(balance.lasts(burns.get(key, wallet.ZERO))))
        except Exception:  # one organisation's trouble keeps no news from the others
            log.exception("balance alert of %s", alert.organisation.public_id)


def _look_at_balance(alert: BalanceAlert, available: Decimal) -> None:
    is_low = alert.below is not None and available < alert.below
    if is_low != (alert.told_at is not None):
        _note_balance(alert, available, told_at=now() if is_low else None)


@transaction.atomic
def _note_balance(alert: BalanceAlert, available: Decimal, *, told_at: datetime | None) -> None:
    same = BalanceAlert.objects.filter(pk=alert.pk, below=alert.below, told_at=alert.told_at)
    if same.update(told_at=told_at) and told_at:
        title = format_lazy(gettext_lazy("{balance}: running low"), balance=NAMES[alert.currency])
        _tell(alert, "low_balance", title, available, {"below": alert.below})


def _look_at_runway(alert: BalanceAlert, available: Decimal, level: int | None) -> None:
    if level != alert.runway_level:
        _note_runway(alert, available, level)


@transaction.atomic
def _note_runway(alert: BalanceAlert, available: Decimal, level: int | None) -> None:
    before = alert.runway_level
    if not BalanceAlert.objects.filter(pk=alert.pk, runway_level=before).update(runway_level=level):
        return
    if level is not None and before is not None and level < before and alert.watches_runway:
        left = ngettext_lazy("%(hours)d hour", "%(hours)d hours", "hours") % {"hours": level}
        title = format_lazy(gettext_lazy("{balance}: less than {left} left"), balance=NAMES[alert.currency], left=left)
        _tell(alert, "runway", title, available, {"hours": level})


def _level(left: timedelta | None) -> int | None:
    """The smallest of `RUNWAY_HOURS` that the runway is under."""
    if left is None:
        return None
    under = [hours for hours in RUNWAY_HOURS if left < hours * wallet.HOUR]
    return min(under, default=BalanceAlert.ABOVE)


def _tell(
    alert: BalanceAlert, kind: str, title: StrOrPromise, available: Decimal, context: Mapping[str, object]
) -> None:
    """In the transaction that notes it."""
    values = {"organisation": alert.organisation, "balance": NAMES[alert.currency], "currency": alert.currency}
    tell(
        alert.organisation,
        permission=Permission.SEE_BILLING,
        kind=f"wallet.{kind}",
        title=title,
        body=money(available, alert.currency),
        page=reverse("billing:home"),
        mail=f"billing/mail/{kind}",
        context={**values, **context, "available": available},
    )
