"""What we can show a payer's bank about a disputed payment: compiled from our records, sent as it is shown.

It is in English, for banks, under the payment service's names of the fields. We keep no network addresses of customers,
so that none are sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from accounts.models import AuditEntry, Organisation, User
from accounts.roles import Role
from billing import invoices, receipts, wallet
from billing.models import Chargeback, Invoice, InvoiceFile, Payment, Transfer
from billing.states import RefundStatus

LONGEST_FIELD = 20_000
LONGEST_STATEMENT = 2000
MOST_LINES = 150
# The service's clock has whole seconds.
SECOND = timedelta(seconds=1)
# What led to a payment is shown from this long before it.
BEFORE = timedelta(days=30)
# The words of our terms page, which each page of ours leads to.
TERMS_PAY = (
    "A monthly plan, and GPU time by the second: from the first probe that reached your pod to the last proof that it "
    "was running. You see every price before you start and every second afterwards."
)
TERMS_END = (
    "You can end a plan at any time; it lasts to the end of the paid month. What is left in your wallet is yours."
)
LABELS = {
    "customer_name": _("Customer"),
    "customer_email_address": _("Email"),
    "billing_address": _("Billing address"),
    "product_description": _("What was sold"),
    "service_date": _("When"),
    "access_activity_log": _("What the customer did"),
    "refund_policy_disclosure": _("Our terms on refunds"),
    "cancellation_policy_disclosure": _("Our terms on cancelling"),
    "refund_refusal_explanation": _("Refunds of this payment"),
    "uncategorized_text": _("The payment and what was used"),
}


def compile_pack(chargeback: Chargeback, statement: str = "") -> dict[str, str]:
    """The fields as they are sent, without those that we have nothing for. `statement`: what staff add."""
    payment = Payment.objects.select_related("organisation", "plan", "subscription").get(pk=chargeback.payment_id)
    with translation.override("en"):
        invoice = invoices.invoice_of(payment)
        fields = {
            "customer_name": invoice.buyer["name"] if invoice else payment.organisation.name,
            "customer_email_address": payment.payer_email or _owner_email(payment.organisation),
            "billing_address": _address(invoice, payment.organisation),
            "product_description": _product(payment),
            "service_date": _service_date(payment),
            "access_activity_log": _text(_activity(payment, chargeback.opened_at + SECOND)),
            "refund_policy_disclosure": f"Our terms, to which each page and the checkout lead: “{TERMS_PAY} {TERMS_END}”",
            "cancellation_policy_disclosure": TERMS_END if payment.purpose == Payment.Purpose.PLAN else "",
            "refund_refusal_explanation": _text(_refunds(payment)),
            "uncategorized_text": _text(_story(payment, invoice, chargeback, statement.strip())),
        }
    return {name: text[:LONGEST_FIELD] for name, text in fields.items() if text}


def digest(pack: dict[str, str]) -> str:
    """By this the pack that was shown is known again."""
    return hashlib.sha256(json.dumps(pack, sort_keys=True).encode()).hexdigest()


def in_order(pack: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Names with texts as people read them: what the database has kept comes back in an order of its own."""
    return ((name, pack[name]) for name in LABELS if name in pack)


def as_text(chargeback: Chargeback, pack: dict[str, str]) -> str:
    """The whole pack to keep or to send by hand."""
    head = f"Evidence for {chargeback.service_ref}: {_sum(chargeback.amount, chargeback.currency)}, {chargeback.reason}"
    parts = [f"{name.replace('_', ' ').capitalize()}\n{'-' * len(name)}\n{text}" for name, text in in_order(pack)]
    return "\n\n".join([head, *parts]) + "\n"


def _owner_email(organisation: Organisation) -> str:
    owners = User.objects.filter(memberships__organisation=organisation, memberships__role=Role.OWNER)
    return owners.order_by("memberships__joined_at").values_list("email", flat=True).first() or ""


def _address(invoice: Invoice | None, organisation: Organisation) -> str:
    buyer = invoice.buyer if invoice else {"address": "", "country": organisation.country}
    return "\n".join(part for part in (buyer["address"], buyer["country"]) if part)


def _product(payment: Payment) -> str:
    kind = "A month of a plan" if payment.purpose == Payment.Purpose.PLAN else "Prepaid GPU computing time (wallet)"
    return f"{kind}, delivered over the internet. On the invoice: {receipts.describe(payment)}."


def _service_date(payment: Payment) -> str:
    if payment.paid_from and payment.paid_until:
        return f"{payment.paid_from:%Y-%m-%d} to {payment.paid_until:%Y-%m-%d}"
    return f"{payment.captured_at:%Y-%m-%d}" if payment.captured_at else ""


def _activity(payment: Payment, until: datetime) -> Iterator[str]:
    """What people of the organisation did from a month before the payment until the dispute, the newest first."""
    rows = AuditEntry.objects.filter(
        organisation=payment.organisation_id,
        actor_kind__in=("user", "api_key"),
        at__gte=payment.created_at - BEFORE,
        at__lte=until,
    )
    members = User.objects.filter(memberships__organisation=payment.organisation)
    people = {str(pk): email for pk, email in members.values_list("pk", "email")}
    for row in rows.order_by("-sequence")[:MOST_LINES]:
        who = people.get(row.actor_id, row.actor_kind.replace("_", " "))
        yield f"{_moment(row.at)}  {who}  {row.action}  {row.object_id}".rstrip()


def _refunds(payment: Payment) -> Iterator[str]:
    for refund in payment.refunds.filter(status=RefundStatus.COMPLETED).order_by("completed_at"):
        if refund.completed_at is not None:
            yield f"{_moment(refund.completed_at)}  refunded {_sum(refund.amount, refund.currency)}"


def _story(payment: Payment, invoice: Invoice | None, chargeback: Chargeback, statement: str) -> Iterator[str]:
    if statement:
        yield from (statement, "")
    yield f"Payment {payment.public_id} of {_sum(payment.amount, payment.currency)}, ordered {_moment(payment.created_at)}."
    if payment.captured_at is not None:
        yield f"Paid {_moment(payment.captured_at)}, receipt R-{payment.receipt_number:06d}, {payment.capture_ref}."
    if payment.method is not None:
        yield f"Card: {payment.method.brand} ending in {payment.method.last4}."
    if invoice is not None:
        sent = ", sent by email" if InvoiceFile.objects.filter(invoice=invoice).exists() else ""
        lines = [f"{line['text']} {_sum(Decimal(line['gross']), invoice.currency)}" for line in invoice.lines]
        yield f"Invoice {invoice.number}{sent}: {'; '.join(lines)}"
    if payment.captured_at is not None:
        yield from _usage(payment.organisation, payment.captured_at, chargeback.opened_at + SECOND)


def _usage(organisation: Organisation, since: datetime, until: datetime) -> Iterator[str]:
    """What pods used of the wallet after the payment, a line for each pod and day."""
    spent = Transfer.objects.filter(
        debit_account__in=wallet.accounts_of(organisation).filter(currency="USD"),
        source_type="usage",
        state__in=[Transfer.State.POSTED, Transfer.State.POST_PENDING],
        created_at__gte=since,
        created_at__lte=until,
    )
    days = spent.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day", "memo")
    rows = days.annotate(total=Sum("amount"), count=Count("source_id", distinct=True)).order_by("day", "memo")
    for number, row in enumerate(rows[:MOST_LINES]):
        if not number:
            yield "\nComputing time that the customer used and that was paid from the wallet since then:"
        yield f"{row['day']:%Y-%m-%d}  {row['memo']}  {row['count']} intervals  {_sum(row['total'], 'USD')}"


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _sum(amount: Decimal, currency: str) -> str:
    return f"{amount:.2f} {currency}"
