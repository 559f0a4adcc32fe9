"""Invoices as PDF, beside a bare page of the same library."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from uuid import uuid4

from django.db import transaction
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from accounts.models import Organisation
from benchmarks.report import Row, median_and_spread
from billing import invoices, receipts, seeds
from billing.invoice_pdf import render_invoice
from billing.models import Invoice, Payment
from lib.clock import now

PAGES = 100
ROUNDS = 5
LINES = 30  # of text, about as many as an invoice has


def run() -> list[Row]:
    seeds.seed()
    invoice = _invoice()
    ours, bare, ratios = [], [], []
    for _ in range(ROUNDS):
        bare.append(_per_second(_bare_page))
        ours.append(_per_second(lambda: render_invoice(invoice)))
        ratios.append(ours[-1] / bare[-1])
    value, spread = median_and_spread(ours)
    reference = statistics.median(bare)
    return [
        Row("invoice as PDF", value, "PDF/s", "bare reportlab page", reference, statistics.median(ratios), "", spread)
    ]


@transaction.atomic
def _invoice() -> Invoice:
    organisation = Organisation.objects.create(name="Andes Vision S.A.", country="EC")
    payment = Payment.objects.create(
        organisation=organisation,
        service="paypal",
        purpose=Payment.Purpose.TOP_UP,
        amount=Decimal(100),
        currency="USD",
        status="captured",
        idempotency_key=uuid4().hex,
        capture_ref=uuid4().hex,
        captured_at=now(),
        receipt_number=receipts.next_number(),
    )
    return invoices.issue_for_payment(payment)


def _bare_page() -> None:
    page = Canvas(BytesIO(), pagesize=A4)
    for line in range(LINES):
        page.drawString(60, 780 - 20 * line, "GPUBroker wallet top-up")
    page.save()


def _per_second(act: Callable[[], object]) -> float:
    act()
    began = time.perf_counter()
    for _ in range(PAGES):
        act()
    return PAGES / (time.perf_counter() - began)
