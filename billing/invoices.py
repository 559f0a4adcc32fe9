"""Invoices and credit notes: issued in the transaction that books the money, numbered by year without gaps.

What stands on one is a copy of seller, buyer and lines as they were then; the database refuses to change it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, QuerySet, Sum
from django.utils import translation

from accounts.actor import Actor
from accounts.models import Organisation, User
from accounts.organisations import change_tax_identity
from accounts.roles import Role
from billing import receipts, taxes
from billing.models import BillingDetails, Chargeback, Invoice, Payment, Refund
from lib.clock import now

Kind = Invoice.Kind
PREFIX = {Kind.INVOICE: "GB", Kind.CREDIT_NOTE: "GB-CN"}
RELATED = ("payment", "refund", "chargeback", "corrects", "organisation")  # what a file and a mail show
BATCH = 20
ZERO = Decimal(0)


def issue_for_payment(payment: Payment) -> Invoice:
    """The invoice of a payment that the caller's transaction books. Called again it answers the same one."""
    found = invoice_of(payment)
    if found is not None:
        return found
    organisation, moment = payment.organisation, now()
    tax = taxes.tax_of(
        country=organisation.country,
        tax_id=organisation.tax_id,
        seller_country=settings.SELLER["country"],
        day=moment.date(),
    )
    locale = _locale_of(organisation)
    with translation.override(locale):
        text = receipts.describe(payment)
    net = taxes.net_of(payment.amount, tax.percent, payment.currency)
    return _issue(
        Kind.INVOICE,
        moment,
        payment,
        locale=locale,
        seller=dict(settings.SELLER),
        buyer=_buyer(organisation),
        lines=[_line(text, net, payment.amount)],
        net=net,
        gross=payment.amount,
        tax_name=tax.name,
        tax_percent=tax.percent,
        tax_treatment=tax.treatment,
        tax_note=tax.note,
    )


def issue_credit_note(
    payment: Payment, amount: Decimal, *, refund: Refund | None = None, chargeback: Chargeback | None = None
) -> Invoice | None:
    """The credit note of a refund, or of what the payer's bank keeps, that the caller's transaction books: none for a
    payment that has no invoice.

    It is taxed as the invoice was. The tax of all that was credited so far is rounded, not that of each part: so the
    credit notes of a payment that went back in parts add up to its invoice exactly.
    """
    invoice = invoice_of(payment)
    if invoice is None:
        return None
    before = invoice.credit_notes.aggregate(net=Sum("net"), gross=Sum("gross"))
    gross_so_far = (before["gross"] or ZERO) + amount
    net = taxes.net_of(gross_so_far, invoice.tax_percent, invoice.currency) - (before["net"] or ZERO)
    copied = ("locale", "seller", "buyer", "tax_name", "tax_percent", "tax_treatment", "tax_note")
    return _issue(
        Kind.CREDIT_NOTE,
        now(),
        payment,
        refund=refund,
        chargeback=chargeback,
        corrects=invoice,
        lines=[_line(invoice.lines[0]["text"], net, amount)],
        net=net,
        gross=amount,
        **{name: getattr(invoice, name) for name in copied},
    )


def invoice_of(payment: Payment) -> Invoice | None:
    return Invoice.objects.filter(payment=payment, kind=Kind.INVOICE).first()


def invoices_of(organisation: Organisation) -> QuerySet[Invoice]:
    """Invoices and credit notes, newest first."""
    return Invoice.objects.filter(organisation=organisation).select_related("file", "corrects").order_by("-pk")


def find(invoice_id: str) -> Invoice:
    return Invoice.objects.select_related(*RELATED).get(pk=invoice_id)


def without_file() -> list[Invoice]:
    """Those whose task was lost."""
    late = Invoice.objects.filter(file=None, created_at__lt=now() - timedelta(minutes=1))
    return list(late.select_related(*RELATED).order_by("pk")[:BATCH])


def details_of(organisation: Organisation) -> BillingDetails:
    """Not saved when there are none."""
    return BillingDetails.objects.filter(organisation=organisation).first() or BillingDetails(organisation=organisation)


@transaction.atomic
def change_details(
    organisation: Organisation, *, name: str, address: str, country: str, tax_id: str, actor: Actor
) -> None:
    """What invoices say from now on, and how they are taxed."""
    BillingDetails.objects.update_or_create(organisation=organisation, defaults={"name": name, "address": address})
    change_tax_identity(organisation=organisation, country=country, tax_id=tax_id, actor=actor)


def _issue(kind: str, moment: datetime, payment: Payment, *, net: Decimal, gross: Decimal, **columns: Any) -> Invoice:
    sequence = _next_in_year(kind, moment.year)
    invoice = Invoice.objects.create(
        kind=kind,
        year=moment.year,
        sequence=sequence,
        number=f"{PREFIX[Kind(kind)]}-{moment.year}-{sequence:06d}",
        organisation_id=payment.organisation_id,
        payment=payment,
        issued_at=moment,
        currency=payment.currency,
        net=net,
        tax=gross - net,
        gross=gross,
        **columns,
    )
    _make_file_after_commit(invoice.pk)
    return invoice


def _next_in_year(kind: str, year: int) -> int:
    """One more than the last, in the caller's transaction: a sequence would lose the number of one that fails."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"billing.{kind}_number"])
    last = Invoice.objects.filter(kind=kind, year=year).aggregate(last=Max("sequence"))["last"]
    return (last or 0) + 1


def _make_file_after_commit(invoice_id: UUID) -> None:
    from billing.tasks import deliver_invoice  # the tasks import what books payments, and that this module

    deliver_invoice.delay_on_commit(str(invoice_id))


def _line(text: str, net: Decimal, gross: Decimal) -> dict[str, str]:
    return {"text": text, "net": f"{net:f}", "tax": f"{gross - net:f}", "gross": f"{gross:f}"}


def _buyer(organisation: Organisation) -> dict[str, str]:
    details = details_of(organisation)
    return {
        "name": details.name or organisation.name,
        "address": details.address,
        "country": organisation.country,
        "tax_id": organisation.tax_id,
    }


def _locale_of(organisation: Organisation) -> str:
    """The language of its first owner."""
    owners = User.objects.filter(memberships__organisation=organisation, memberships__role=Role.OWNER)
    chosen = owners.order_by("memberships__joined_at").values_list("locale", flat=True).first()
    return chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
