"""What an organisation has, how long it lasts, and what happened to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, DecimalField, Exists, F, Max, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import TruncDate

from accounts.models import Organisation
from billing.accounts import WALLET_KIND
from billing.models import Account, Transfer
from billing.usage import HOLD_SOURCE, RESERVE
from lib.clock import now

CURRENCIES = ("USD", "CREDIT")  # what pods are paid with
BALANCES = (*CURRENCIES, "USDC")  # what an organisation can have
HOUR = timedelta(hours=1)
ZERO = Decimal(0)
Key = tuple[UUID | None, str]  # the organisation, none for ourselves, and the currency


@dataclass(frozen=True, slots=True)
class Balance:
    """`available` can be spent; `held` is set aside for pods that run now."""

    currency: str
    available: Decimal = ZERO
    held: Decimal = ZERO

    def lasts(self, burn: Decimal) -> timedelta | None:
        """At `burn` per hour, with what is held; None when nothing is being spent."""
        if burn <= 0:
            return None
        hours = (self.available + self.held) / burn
        return timedelta(seconds=min(int(hours * 3600), 3650 * 86400))


def balance(organisation: Organisation, currency: str) -> Balance:
    return balances_of([organisation.pk]).get((organisation.pk, currency)) or Balance(currency)


def balances_of(organisations: Collection[UUID]) -> dict[Key, Balance]:
    """Of those that there are, in one query."""
    found = {}
    for row in Account.objects.filter(organisation__in=organisations, kind__in=set(WALLET_KIND.values())):
        free = row.credits_posted - row.debits_posted - row.debits_pending
        found[row.organisation_id, row.currency] = Balance(row.currency, free, row.debits_pending)
    return found


def balances(organisation: Organisation) -> dict[str, Decimal]:
    """What can be spent, by currency."""
    return {currency: balance(organisation, currency).available for currency in CURRENCIES}


def burn_per_hour(organisation: Organisation, currency: str) -> Decimal:
    return burns_of([organisation.pk]).get((organisation.pk, currency), ZERO)


def burns_of(organisations: Collection[UUID]) -> dict[Key, Decimal]:
    """What running pods cost per hour now, in one query: each holds the cost of the next `usage.RESERVE`.

    Holds stay for ever: those that have expired, as all old ones, are not looked at.
    """
    settled = Transfer.objects.filter(pending=OuterRef("pk"))
    held = Transfer.objects.filter(
        ~Exists(settled),
        debit_account__in=Account.objects.filter(organisation__in=organisations, kind__in=set(WALLET_KIND.values())),
        state=Transfer.State.PENDING,
        source_type=HOLD_SOURCE,
        expires_at__gt=now(),
    )
    sums = held.values_list("debit_account__organisation", "debit_account__currency").annotate(total=Sum("amount"))
    return {(owner, currency): total * (HOUR // RESERVE) for owner, currency, total in sums}


def runway(organisation: Organisation, burn: Decimal, currency: str = "USD") -> timedelta | None:
    """How long the balance (with what is held) lasts at `burn` per hour; None when nothing is being spent."""
    return balance(organisation, currency).lasts(burn)


def spent_since(organisation: Organisation, moment: datetime) -> dict[str, Decimal]:
    """Usage paid since `moment`, by currency."""
    rows = (
        Transfer.objects.filter(
            debit_account__in=accounts_of(organisation),
            state__in=[Transfer.State.POSTED, Transfer.State.POST_PENDING],
            source_type="usage",
            created_at__gte=moment,
        )
        .values_list("currency")
        .annotate(total=Sum("amount"))
    )
    return dict.fromkeys(CURRENCIES, ZERO) | dict(rows)


def moves(own: set[UUID]) -> QuerySet[Transfer]:
    """What moved money into or out of these accounts; holds do not."""
    return Transfer.objects.filter(
        Q(debit_account__in=own) | Q(credit_account__in=own),
        state__in=[Transfer.State.POSTED, Transfer.State.POST_PENDING],
    )


def signed_amount(own: set[UUID]) -> Case:
    """Of a transfer, as the owner of these accounts sees it: what came is positive."""
    return Case(
        When(credit_account__in=own, then=F("amount")),
        default=-F("amount"),
        output_field=DecimalField(max_digits=20, decimal_places=6),
    )


def statement(organisation: Organisation, month: datetime) -> Any:
    """The month's movements, one row for each day and cause: a pod's usage is one line a day, not one a minute.

    A queryset of dicts with day, source_type, memo, currency, total, count.
    """
    own = set(accounts_of(organisation).values_list("pk", flat=True))
    start = month.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + timedelta(days=32)).replace(day=1)
    return (
        moves(own)
        .filter(created_at__gte=start, created_at__lt=end)
        .annotate(day=TruncDate("created_at", tzinfo=UTC))
        .values("day", "source_type", "memo", "currency")
        .annotate(total=Sum(signed_amount(own)), count=Count("source_id", distinct=True), last_at=Max("created_at"))
        .order_by("-last_at", "memo")
    )


def accounts_of(organisation: Organisation) -> QuerySet[Account]:
    """The wallet and the credits: what `history` and `balance` are about."""
    return Account.objects.filter(organisation=organisation, kind__in=set(WALLET_KIND.values()))
