"""Receipts: numbered without gaps at the moment of payment, shown as a page and mailed with the invoice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.db.models import Max
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Organisation
from accounts.roles import Permission
from billing import invoice_files
from billing.models import Invoice, Payment
from billing.states import PaymentStatus
from lib.errors import Conflict
from lib.mail import Attachment
from notifications.mail import send_to_members


@dataclass(frozen=True, slots=True)
class Receipt:
    number: str
    paid_at: datetime
    organisation: Organisation
    description: str
    amount: Decimal
    currency: str
    service: str
    reference: str
    payer_email: str
    url: str


def next_number() -> int:
    """One more than the last, in the caller's transaction: a sequence would lose the number of one that fails."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('billing.receipt_number', 0))")
    last = Payment.objects.aggregate(last=Max("receipt_number"))["last"]
    return (last or 0) + 1


def describe(payment: Payment) -> str:
    """What was paid for, in one line."""
    if payment.purpose == Payment.Purpose.PLAN and payment.plan is not None:
        if payment.is_upgrade:
            about = {"plan": payment.plan.name, "end": _day(payment.paid_until)}
            return _("Upgrade to GPUBroker %(plan)s until %(end)s") % about
        if payment.subscription is not None and payment.subscription.service and payment.paid_from:
            span = {"start": _day(payment.paid_from), "end": _day(payment.paid_until)}
            return _("GPUBroker %(plan)s, %(start)s to %(end)s") % {"plan": payment.plan.name, **span}
        return _("GPUBroker %(plan)s, one month") % {"plan": payment.plan.name}
    return _("GPUBroker wallet top-up")


def _day(moment: datetime | None) -> str:
    """As the reader's language writes it."""
    return date_format(moment, "SHORT_DATE_FORMAT") if moment else ""


def receipt_of(payment: Payment) -> Receipt:
    """Raises Conflict for a payment that is not paid."""
    if payment.status != PaymentStatus.CAPTURED or payment.receipt_number is None or payment.captured_at is None:
        raise Conflict(_("You get a receipt once the payment is complete."), code="not_paid")
    return Receipt(
        number=f"R-{payment.receipt_number:06d}",
        paid_at=payment.captured_at,
        organisation=payment.organisation,
        description=describe(payment),
        amount=payment.amount,
        currency=payment.currency,
        service=payment.service,
        reference=payment.capture_ref,
        payer_email=payment.payer_email,
        url=f"{settings.PUBLIC_URL}{reverse('billing:receipt', args=[payment.public_id])}",
    )


def deliver(invoice: Invoice) -> int:
    """Make the file of an invoice and mail it, once however often this is called. Answers how many it went to."""
    return invoice_files.keep(invoice, lambda pdf: _mail(invoice, pdf))


def send_again(invoice: Invoice) -> int:
    """Mail it once more, as it was issued; how many it went to."""
    return deliver(invoice) or _mail(invoice, invoice_files.read(invoice))


def send_receipt(payment: Payment) -> int:
    """Mail the receipt with the invoice once more; how many it went to. Raises Conflict for what is not paid."""
    receipt_of(payment)
    return send_again(Invoice.objects.get(payment=payment, kind=Invoice.Kind.INVOICE))


def _mail(invoice: Invoice, pdf: bytes) -> int:
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        template, context = "billing/mail/credit_note", {"note": invoice, "url": _url("billing:invoices")}
    else:
        template, context = "billing/mail/receipt", {"receipt": receipt_of(invoice.payment), "invoice": invoice}
    file = Attachment(f"{invoice.number}.pdf", pdf, "application/pdf")
    return send_to_members(invoice.organisation, Permission.SEE_BILLING, template, context, attachments=[file])


def _url(name: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse(name)}"
