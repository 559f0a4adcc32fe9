"""Invoices and credit notes: numbers without gaps, copies that nothing changes, files that are made once."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import ProgrammingError, connection, connections, transaction
from freezegun import freeze_time

from accounts.models import Organisation
from billing import invoice_files, invoices, receipts, tasks
from billing.invoice_files import FileDamaged
from billing.invoice_pdf import render_invoice
from billing.models import Invoice, InvoiceFile, Payment
from billing.payments import checkout
from lib.clock import now
from tests.billing.invoicing import deliver_invoices, pay, pay_plan, refund, start
from tests.people import Person

DOLLAR = Decimal(1)


@pytest.fixture(autouse=True)
def _files(settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path}},
    }


def at(organisation: Organisation | None, country: str, tax_id: str = "") -> None:
    assert organisation is not None
    Organisation.objects.filter(pk=organisation.pk).update(country=country, tax_id=tax_id)


def amounts(invoice: Invoice) -> tuple[str, str, str]:
    return f"{invoice.net:.2f}", f"{invoice.tax:.2f}", f"{invoice.gross:.2f}"


def test_an_invoice_is_issued_with_the_payment(owner: Person, paypal: str, mailoutbox: list[Any]) -> None:
    at(owner.organisation, "EC", "1790011674001")
    payment = pay(owner, "25.00")
    invoice = Invoice.objects.get()
    assert invoice.number == f"GB-{invoice.issued_at.year}-000001"
    assert amounts(invoice) == ("21.74", "3.26", "25.00")
    assert invoice.buyer["name"] == "Andes Vision"
    assert (invoice.buyer["country"], invoice.buyer["tax_id"]) == ("EC", "1790011674001")
    assert invoice.seller["country"] == "EC"
    assert (invoice.tax_name, invoice.tax_percent) == ("IVA", Decimal(15))
    deliver_invoices()
    [mail] = mailoutbox
    [(name, content, kind)] = mail.attachments
    assert (name, kind) == (f"{invoice.number}.pdf", "application/pdf")
    assert hashlib.sha256(content).hexdigest() == InvoiceFile.objects.get().sha256
    assert invoice.number in mail.body
    deliver_invoices()
    tasks.deliver_invoice(str(invoice.pk))  # the task came twice
    assert len(mailoutbox) == 1
    assert receipts.send_receipt(payment) == 1
    assert mailoutbox[1].attachments == mail.attachments


@pytest.mark.parametrize(
    ("country", "tax_id", "expected"),
    [
        ("ES", "", ("40.50", "8.50", "49.00")),
        ("DE", "", ("41.18", "7.82", "49.00")),
        ("DE", "DE136695976", ("49.00", "0.00", "49.00")),
        ("BR", "", ("49.00", "0.00", "49.00")),
        ("", "", ("42.61", "6.39", "49.00")),
    ],
)
def test_the_tax_of_the_buyers_country(
    owner: Person, paypal: str, country: str, tax_id: str, expected: tuple[str, str, str]
) -> None:
    at(owner.organisation, country, tax_id)
    pay_plan(owner)
    assert amounts(Invoice.objects.get()) == expected


def test_nothing_later_changes_it(owner: Person, paypal: str, settings: Any) -> None:
    pay(owner)
    before = Invoice.objects.values().get()
    at(owner.organisation, "DE", "DE136695976")
    Organisation.objects.update(name="Renamed")
    settings.SELLER = {**settings.SELLER, "name": "Somebody else"}
    invoices.issue_for_payment(Payment.objects.get())
    assert Invoice.objects.values().get() == before


FORBIDDEN = [
    "UPDATE billing_invoice SET gross = 1",
    "DELETE FROM billing_invoice",
    "TRUNCATE billing_invoice CASCADE",
    "UPDATE billing_invoicefile SET sha256 = ''",
    "DELETE FROM billing_invoicefile",
    "ALTER TABLE billing_invoice DISABLE TRIGGER ALL",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not_change_what_was_issued(owner: Person, paypal: str, statement: str) -> None:
    pay(owner)
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def start_unpaid(person: Person) -> Payment:
    assert person.organisation is not None
    return Payment.objects.create(organisation=person.organisation, purpose=Payment.Purpose.TOP_UP, amount=DOLLAR)


def test_numbers_have_no_gaps(owner: Person, outsider: Person, staff: Person, paypal: str) -> None:
    first = pay(owner)
    with transaction.atomic():
        assert invoices.issue_for_payment(start_unpaid(owner)).sequence == 2
        transaction.set_rollback(True)
    pay(outsider)
    refund(first, "1", staff)
    refund(first, "1", staff)
    numbers = list(Invoice.objects.order_by("kind", "sequence").values_list("kind", "sequence"))
    assert numbers == [("credit_note", 1), ("credit_note", 2), ("invoice", 1), ("invoice", 2)]


@pytest.mark.django_db(transaction=True)
def test_numbers_of_payments_at_once(owner: Person, paypal: str) -> None:
    payments = [start(owner) for _ in range(4)]

    def run(payment: Payment) -> None:
        try:
            checkout.complete(payment.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, payments))
    assert sorted(Invoice.objects.values_list("sequence", flat=True)) == [1, 2, 3, 4]


def test_each_year_begins_anew(owner: Person, paypal: str) -> None:
    pay(owner)
    payment = start(owner)
    with freeze_time("2031-01-01 00:00:01", real_asyncio=True):
        checkout.complete(payment.pk)
    assert Invoice.objects.order_by("pk").last().number == "GB-2031-000001"  # type: ignore[union-attr]


def test_credit_notes_in_parts_add_up_to_the_invoice(owner: Person, staff: Person, paypal: str) -> None:
    at(owner.organisation, "ES")
    payment = pay(owner, "10.00")
    for part in ("3.33", "3.33", "3.34"):
        refund(payment, part, staff)
    invoice = Invoice.objects.get(kind="invoice")
    notes = list(invoice.credit_notes.order_by("sequence"))
    assert [amounts(note) for note in notes] == [
        ("2.75", "0.58", "3.33"),
        ("2.75", "0.58", "3.33"),
        ("2.76", "0.58", "3.34"),
    ]
    assert sum(note.net for note in notes) == invoice.net
    assert sum(note.tax for note in notes) == invoice.tax
    assert notes[0].number.startswith("GB-CN-")


def test_the_same_bytes_each_time_in_either_language(owner: Person, paypal: str) -> None:
    owner.user.locale = "es"
    owner.user.save()
    pay(owner)
    invoice = Invoice.objects.get()
    assert invoice.locale == "es"
    first = render_invoice(invoice)
    assert first == render_invoice(invoice)
    assert first.startswith(b"%PDF-")
    invoice.locale = "en"
    assert render_invoice(invoice) != first


@pytest.mark.parametrize("name", ["<b>x</b> & <script>", "Łódź 計算 Вычисления", "x" * 160, "a\nb", "💶"])
def test_names_are_text(owner: Person, paypal: str, name: str) -> None:
    assert owner.organisation is not None
    invoices.change_details(
        owner.organisation, name=name, address="Calle 1\n\nQuito; piso 3", country="EC", tax_id="", actor=owner.actor
    )
    pay(owner)
    invoice = Invoice.objects.get()
    assert invoice.buyer["name"] == name
    assert render_invoice(invoice).startswith(b"%PDF-")


def test_a_file_that_is_lost_or_changed_is_reported_and_not_replaced(owner: Person, paypal: str) -> None:
    pay(owner)
    invoice = Invoice.objects.get()
    url = f"/billing/invoices/{invoice.public_id}.pdf"
    assert owner.client.get(url).status_code == 409  # being made
    deliver_invoices()
    answer = owner.client.get(url)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert invoice_files.check() == []
    path = InvoiceFile.objects.get().path
    default_storage.delete(path)
    for problem in ("is missing", "is not what was issued"):
        with pytest.raises(FileDamaged):
            invoice_files.read(invoice)
        assert owner.client.get(url).status_code == 500
        assert [problem in line for line in invoice_files.check()] == [True]
        tasks.deliver_invoice(str(invoice.pk))
        default_storage.save(path, ContentFile(b"%PDF-1.4 another"))


def test_files_that_a_dead_process_left_are_swept_up(owner: Person, paypal: str) -> None:
    assert invoice_files.sweep() == 0
    for _payment in range(3):
        pay(owner)
    made, made_again, only_stored = Invoice.objects.order_by("pk")

    def store(invoice: Invoice) -> str:
        return default_storage.save(f"invoices/{invoice.year}/{invoice.number}.pdf", ContentFile(b"%PDF"))

    kept, left = store(only_stored), store(made_again)
    for invoice in (made, made_again):
        tasks.deliver_invoice(str(invoice.pk))
    assert invoice_files.sweep() == 0, "a process may be about to write its row"
    with freeze_time(now() + timedelta(days=2)):
        tasks.check_ledger()
    assert not default_storage.exists(left)
    assert default_storage.exists(kept), "whatever our rows say, it may be the one that was issued"
    assert invoice_files.check() == []


@pytest.mark.django_db(transaction=True)
def test_workers_at_once_make_one_file(owner: Person, paypal: str, mailoutbox: list[Any]) -> None:
    pay(owner)
    invoice = Invoice.objects.get()

    def run(_number: int) -> int:
        try:
            return receipts.deliver(Invoice.objects.get(pk=invoice.pk))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(run, range(3))) == [0, 0, 1]
    assert len(mailoutbox) == 1
    assert len(default_storage.listdir(f"invoices/{invoice.year}")[1]) == 1


def test_the_worker_finds_what_was_lost(owner: Person, paypal: str) -> None:
    pay(owner)
    assert invoices.without_file() == []  # only just issued: its task is on its way
    with freeze_time("2031-01-01", real_asyncio=True):
        assert invoices.without_file() == [Invoice.objects.get()]


def test_pages_and_routes(owner: Person, outsider: Person, member: Person, staff: Person, paypal: str) -> None:
    assert b"No invoices yet" in owner.client.get("/billing/invoices/").content
    payment = pay(owner)
    refund(payment, "10", staff)
    deliver_invoices()
    page = owner.client.get("/billing/invoices/").content.decode()
    note, invoice = Invoice.objects.order_by("-pk")
    assert invoice.number in page
    assert f"corrects {invoice.number}" in page
    listed = owner.api("get", "billing/invoices?limit=1").json()
    assert [row["number"] for row in listed["items"]] == [note.number]
    rest = owner.api("get", f"billing/invoices?limit=1&cursor={listed['next']}").json()
    assert [row["number"] for row in rest["items"]] == [invoice.number]
    read = owner.api("get", f"billing/invoices/{invoice.public_id}").json()
    pdf = owner.api("get", f"billing/invoices/{invoice.public_id}/pdf")
    assert hashlib.sha256(pdf.content).hexdigest() == read["sha256"]
    assert outsider.api("get", f"billing/invoices/{invoice.public_id}/pdf").status_code == 404
    assert member.api("get", f"billing/invoices/{invoice.public_id}").status_code == 403
    assert outsider.client.get(f"/billing/invoices/{invoice.public_id}.pdf").status_code == 404
    assert outsider.api("get", "billing/invoices").json()["items"] == []
    receipt = owner.client.get(f"/billing/receipts/{payment.public_id}/").content.decode()
    assert f"/billing/invoices/{invoice.public_id}.pdf" in receipt


def test_billing_details(owner: Person, member: Person, paypal: str) -> None:
    form = {"name": "Andes Vision S.A.", "address": "Quito", "country": "EC", "tax_id": "1790011674001"}
    assert owner.client.post("/billing/details/", form).status_code == 302
    pay(owner)
    assert Invoice.objects.get().buyer == form
    for wrong in (
        {"country": "XX"},
        {"country": ""},
        {"address": "x" * 401},
        {"address": "x\n" * 9},
        {"tax_id": "x" * 33},
    ):
        assert owner.client.post("/billing/details/", {**form, **wrong}).status_code == 422
    assert member.client.post("/billing/details/", form).status_code == 403
