"""Customers as staff see them: what they pay for, have, spend, and when they were last here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.postgres.aggregates import StringAgg
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import Member, Organisation
from accounts.roles import Role
from billing import plans, wallet
from billing.accounts import WALLET_KIND
from billing.models import Account, Plan, Subscription
from billing.wallet import Balance
from console.access import get_row
from lib.clock import now
from pods.models import Payer, Pod, Usage

DAYS = 30
ZERO = Value(Decimal(0))


def customers(search: str = "") -> QuerySet[Organisation]:
    """Organisations with `plan_name`, `usd`, `usdc`, `credit`, `spent`, `owners` and `last_seen`; newest first."""
    rows = Organisation.objects.filter(archived_at=None)
    if words := search.strip():
        by_person = Member.objects.filter(Q(user__email__icontains=words) | Q(user__name__icontains=words))
        rows = rows.filter(
            Q(name__icontains=words) | Q(tax_id__icontains=words) | Q(pk__in=by_person.values("organisation"))
        )
    return rows.annotate(**_columns()).order_by("-pk")


def find(public_id: str) -> Organisation:
    return get_row(customers(), "org", public_id)


@dataclass(frozen=True, slots=True)
class Money:
    """One balance of a customer, with what it is spent at now."""

    balance: Balance
    burn: Decimal
    runway: timedelta | None


@dataclass(frozen=True, slots=True)
class Details:
    money: list[Money]
    plan: Plan
    subscription: Subscription | None
    members: list[Member]
    pods: list[Pod]
    pod_count: int


def details_of(organisation: Organisation) -> Details:
    money = []
    for currency in wallet.BALANCES:
        burn = wallet.burn_per_hour(organisation, currency)
        runway = wallet.runway(organisation, burn, currency)
        money.append(Money(wallet.balance(organisation, currency), burn, runway))
    pods = Pod.objects.filter(organisation=organisation).order_by("-pk")
    return Details(
        money=money,
        plan=plans.current_plan(organisation),
        subscription=plans.current_subscription(organisation),
        members=list(organisation.memberships.select_related("user").order_by("user__email")),
        pods=list(pods[:10]),
        pod_count=pods.count(),
    )


def spent_since(organisation: Organisation, moment: datetime) -> Decimal:
    """USD from the wallet."""
    rows = _spending(moment).filter(placement__pod__organisation=organisation)
    return rows.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def _columns() -> dict[str, Any]:
    members = Member.objects.filter(organisation=OuterRef("pk")).order_by().values("organisation")
    spent = _spending(now() - timedelta(days=DAYS)).filter(placement__pod__organisation=OuterRef("pk")).order_by()
    sums = spent.values("placement__pod__organisation").annotate(total=Sum("amount")).values("total")
    owners = members.filter(role=Role.OWNER).annotate(all=StringAgg("user__email", ", ")).values("all")
    paid = plans.paid_now().filter(organisation=OuterRef("pk")).values("plan__name")
    return {
        "plan_name": Subquery(paid[:1]),
        **{currency.lower(): Coalesce(_available(currency), ZERO) for currency in wallet.BALANCES},
        "spent": Coalesce(Subquery(sums), ZERO),
        "owners": Subquery(owners),
        "last_seen": Subquery(members.annotate(last=Max("user__last_login")).values("last")),
    }


def _available(currency: str) -> Subquery:
    kind = WALLET_KIND[currency]
    account = Account.objects.filter(organisation=OuterRef("pk"), kind=kind, currency=currency)
    free = F("credits_posted") - F("debits_posted") - F("debits_pending")
    return Subquery(account.annotate(free=free).values("free")[:1])


def _spending(since: datetime) -> QuerySet[Usage]:
    return Usage.objects.filter(payer=Payer.WALLET, currency="USD", ended_at__gte=since)
