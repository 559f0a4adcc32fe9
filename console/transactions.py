"""All money that came in or went out, whatever way it took, in one list; and each with what the ledger says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation
from billing.models import Chargeback, Deposit, Payment, Payout, Refund, Transfer, Withdrawal
from billing.payments.services import NAMES
from billing.states import ChargebackStatus, DepositStatus, PaymentStatus, PayoutStatus, RefundStatus, WithdrawalStatus
from lib.days import check_days, of_days
from lib.errors import Invalid, NotFound
from lib.ids import decode_id
from lib.lists import check_limit, parse_cursor

USDC = "usdc"
STATUSES = (PaymentStatus, RefundStatus, ChargebackStatus, DepositStatus, WithdrawalStatus, PayoutStatus)
DONE = {"captured", "completed", "credited", "done", "paid", "won", "warning_closed"}
WRONG = {"failed", "lost", "vanished", "reversed", "returned"}
OVER = {"cancelled"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of transaction: its rows, and how its columns are called."""

    name: StrOrPromise
    model: type[Model]
    prefix: str
    causes: tuple[str, ...]  # `source_type` of its transfers
    comes_in: bool
    service: str = "service"  # the column; without one it is USDC
    owner: str = "organisation"
    at: str = "created_at"

    def rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._default_manager.select_related(self.owner)
        return rows


KINDS: dict[str, Kind] = {
    "payment": Kind(gettext_lazy("Payment"), Payment, "pay", ("payment",), True),
    "refund": Kind(gettext_lazy("Refund"), Refund, "rfd", ("refund",), False, owner="payment__organisation"),
    "chargeback": Kind(
        gettext_lazy("Chargeback"), Chargeback, "cbk", ("chargeback",), False, owner="payment__organisation"
    ),
    "deposit": Kind(
        gettext_lazy("USDC deposit"), Deposit, "dep", ("deposit", "deposit_reversal"), True, service="", at="seen_at"
    ),
    "withdrawal": Kind(gettext_lazy("USDC withdrawal"), Withdrawal, "wdr", ("withdrawal",), False, service=""),
    "payout": Kind(
        gettext_lazy("Payout"), Payout, "pyo", ("payout", "payout_return", "payout_usdc"), False, service="kind"
    ),
}


@dataclass(frozen=True, slots=True)
class Transaction:
    """`amount` is positive when it came to us."""

    id: str
    kind: str
    name: StrOrPromise
    service: str
    status: str
    word: StrOrPromise
    organisation: Organisation | None
    amount: Decimal
    currency: str
    at: datetime
    row: Any

    @property
    def tone(self) -> str:
        """How the status looks."""
        if self.status in DONE:
            return "good"
        return "bad" if self.status in WRONG else "still" if self.status in OVER else "busy"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to list. Days are in UTC and both included; empty means any. Raises Invalid beside the field."""

    kind: str = ""
    service: str = ""
    status: str = ""
    since: date | None = None
    until: date | None = None
    organisation: Organisation | None = None

    def __post_init__(self) -> None:
        if self.kind and self.kind not in KINDS:
            message = _("There is no such kind.")
            raise Invalid(message, fields={"kind": [message]})
        check_days(self.since, self.until)

    def rows(self, kind: Kind) -> QuerySet[Any]:
        rows = kind.rows()
        if self.status:
            rows = rows.filter(status=self.status)
        if self.service and kind.service:
            rows = rows.filter(**{kind.service: self.service})
        elif self.service and self.service != USDC:
            rows = rows.none()
        rows = of_days(rows, kind.at, self.since, self.until)
        return rows.filter(**{kind.owner: self.organisation}) if self.organisation else rows


def page(wanted: Wanted, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """`{"items", "next"}`, newest first. Keys of all kinds sort by time, so the cursor is the last key."""
    check_limit(limit)
    before = parse_cursor(cursor) if cursor else None
    found: list[tuple[str, Any]] = []
    for name, kind in KINDS.items():
        if wanted.kind in ("", name):
            rows = wanted.rows(kind)
            newest = (rows.filter(pk__lt=before) if before else rows).order_by("-pk")[: limit + 1]
            found += [(name, row) for row in newest]
    found.sort(key=lambda pair: pair[1].pk, reverse=True)
    following = found[limit - 1][1].pk.hex if len(found) > limit else None
    return {"items": [_as_listed(name, row) for name, row in found[:limit]], "next": following}


def find(tx_id: str) -> Transaction:
    """By its public id (`pay_…`, `rfd_…`, `cbk_…`, `dep_…`, `wdr_…`, `pyo_…`). Raises NotFound."""
    for name, kind in KINDS.items():
        if tx_id.startswith(f"{kind.prefix}_"):
            row = kind.rows().filter(pk=decode_id(kind.prefix, tx_id)).first()
            if row is not None:
                return _as_listed(name, row)
    raise NotFound(_("There is no such transaction."))


def legs_of(transaction: Transaction) -> list[Transfer]:
    """What the ledger holds of it, in the order in which it was written."""
    causes = KINDS[transaction.kind].causes
    rows = Transfer.objects.filter(source_type__in=causes, source_id=str(transaction.row.pk))
    return list(rows.select_related("debit_account", "credit_account").order_by("created_at", "pk"))


def services() -> Iterator[str]:
    yield from ("paypal", "stripe", USDC, "bank")


def _as_listed(name: str, row: Any) -> Transaction:
    kind = KINDS[name]
    owner = row.payment.organisation if kind.owner.startswith("payment") else row.organisation
    return Transaction(
        id=row.public_id,
        kind=name,
        name=kind.name,
        service=_service_of(kind, row),
        status=row.status,
        word=row.get_status_display(),
        organisation=owner,
        amount=row.amount if kind.comes_in else -row.amount,
        currency=getattr(row, "currency", "USDC"),
        at=getattr(row, kind.at),
        row=row,
    )


def _service_of(kind: Kind, row: Any) -> str:
    """As people read it."""
    if not kind.service:
        return f"USDC {row.chain}"
    slug = getattr(row, kind.service)
    return NAMES.get(slug) or (slug.upper() if slug == USDC else slug)
