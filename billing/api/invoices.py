"""Routes of invoices and credit notes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from ninja import Router, Schema

from accounts.requests import Request
from billing import access, invoices
from billing.models import Invoice
from billing.views.invoices import as_file
from lib.lists import page_of
from lib.money import money_json
from lib.schemas import Money

router = Router(tags=["billing"])


class PartyOut(Schema):
    name: str
    address: str
    country: str
    tax_id: str


class InvoiceLineOut(Schema):
    text: str
    net: str
    tax: str
    gross: str


class InvoiceOut(Schema):
    id: str
    number: str
    kind: str
    payment: str
    corrects: str | None
    issued_at: datetime
    seller: PartyOut
    buyer: PartyOut
    lines: list[InvoiceLineOut]
    net: Money
    tax: Money
    total: Money
    tax_name: str
    tax_percent: str
    tax_treatment: str
    sha256: str | None


class InvoicePage(Schema):
    items: list[InvoiceOut]
    next: str | None


def show_invoice(invoice: Invoice) -> dict[str, Any]:
    file = getattr(invoice, "file", None)
    return {
        "id": invoice.public_id,
        "number": invoice.number,
        "kind": invoice.kind,
        "payment": invoice.payment.public_id,
        "corrects": invoice.corrects.number if invoice.corrects else None,
        "issued_at": invoice.issued_at,
        "seller": invoice.seller,
        "buyer": invoice.buyer,
        "lines": invoice.lines,
        "net": money_json(invoice.net, invoice.currency),
        "tax": money_json(invoice.tax, invoice.currency),
        "total": money_json(invoice.gross, invoice.currency),
        "tax_name": invoice.tax_name,
        "tax_percent": f"{invoice.tax_percent:f}",
        "tax_treatment": invoice.tax_treatment,
        "sha256": file.sha256 if file else None,
    }


@router.get("billing/invoices", response=InvoicePage)
def list_invoices(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Invoices and credit notes, newest first. The amounts of a credit note are positive too."""
    rows = invoices.invoices_of(access.organisation_to_see(request.actor)).select_related("payment")
    return page_of(rows, limit=limit, cursor=cursor, show=show_invoice)


@router.get("billing/invoices/{invoice_id}", response=InvoiceOut)
def read_invoice(request: Request, invoice_id: str) -> dict[str, Any]:
    return show_invoice(access.get_invoice(request.actor, invoice_id))


@router.get(
    "billing/invoices/{invoice_id}/pdf",
    response={200: None},
    openapi_extra={
        "responses": {200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}}
    },
)
def download_invoice(request: Request, invoice_id: str) -> HttpResponse:
    """The PDF as it was issued; 409 while it is being made."""
    return as_file(access.get_invoice(request.actor, invoice_id))
