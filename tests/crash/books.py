"""What must hold whatever happened: the books, numbers without gaps, and each thing outside once."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import F, Model

from billing import invoice_files, ledger, lots, reconcile
from billing.models import (
    Account,
    Chargeback,
    Deposit,
    Invoice,
    Payment,
    Payout,
    Refund,
    Transfer,
    WebhookEvent,
    WithdrawalAttempt,
)
from billing.states import ChargebackStatus, PaymentStatus, RefundStatus
from notifications.models import Mail, Notification

EXTERNAL_IDS: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
    (Payment, ("service", "order_ref")),
    (Payment, ("service", "capture_ref")),
    (Refund, ("service", "service_ref")),
    (Chargeback, ("service", "service_ref")),
    (Payout, ("kind", "service_ref")),
    (Deposit, ("tx_hash", "log_index")),
    (WithdrawalAttempt, ("tx_hash",)),
)


def problems() -> list[str]:
    return [
        *ledger.check(),
        *lots.check(),
        *reconcile.check_clearing(),
        *invoice_files.check(),
        *_external_ids_used_twice(),
        *_below_their_limit(),
        *_gaps(),
        *_papers(),
        *_told_twice(),
        *(f"{event} was not worked on" for event in WebhookEvent.objects.filter(processed_at=None)),
    ]


def open_holds(organisation: Any) -> int:
    accounts = Account.objects.filter(organisation=organisation)
    return Transfer.objects.filter(state="pending", settlements=None, debit_account__in=accounts).count()


def _external_ids_used_twice() -> list[str]:
    found = []
    for model, columns in EXTERNAL_IDS:
        used = Counter(model._default_manager.values_list(*columns))
        found += [
            f"{model.__name__} {id} is there {times} times" for id, times in used.items() if times > 1 and "" not in id
        ]
    return found


def _below_their_limit() -> list[str]:
    over = Account.objects.filter(no_overdraft=True, credits_posted__lt=F("debits_posted") + F("debits_pending"))
    return [f"account {account.pk} is below its limit" for account in over]


def _gaps() -> list[str]:
    """Invoices, credit notes and receipts are numbered from one on."""
    series: dict[str, list[int]] = {}
    for number in Invoice.objects.values_list("number", flat=True):
        name, _, last = number.rpartition("-")
        series.setdefault(name, []).append(int(last))
    series["receipt"] = list(
        Payment.objects.exclude(receipt_number=None).values_list("receipt_number", flat=True)  # type: ignore[arg-type]
    )
    return [
        f"{name} has gaps: {sorted(numbers)}"
        for name, numbers in series.items()
        if sorted(numbers) != list(range(1, len(numbers) + 1))
    ]


def _papers() -> list[str]:
    """An invoice for each payment, a credit note for what went back."""
    paid = Payment.objects.filter(status=PaymentStatus.CAPTURED).count()
    returned = Refund.objects.filter(status=RefundStatus.COMPLETED).count()
    returned += Chargeback.objects.filter(status=ChargebackStatus.LOST, counted__gt=0).count()
    issued = Counter(Invoice.objects.values_list("kind", flat=True))
    wanted = {"invoice": paid, "credit_note": returned}
    return [f"{issued[kind]} of {kind}, not {number}" for kind, number in wanted.items() if issued[kind] != number]


def _told_twice() -> list[str]:
    notices = Counter(Notification.objects.values_list("user", "kind", "title", "body", "url"))
    mails = Counter(Mail.objects.values_list("to", "subject", "text"))
    return [f"{what} was told {times} times" for what, times in [*notices.items(), *mails.items()] if times > 1]
