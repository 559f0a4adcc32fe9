"""The PDF of an invoice: rendered once, kept with the hash of its bytes, and never made anew."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from billing.models import Invoice, InvoiceFile
from lib.errors import AppError, Conflict

log = logging.getLogger(__name__)


class FileDamaged(AppError):
    """The file is gone or is not what was issued. It is not replaced: somebody has to look for the real one."""

    status = 500
    code = "invoice_file_damaged"

    def __init__(self, invoice: Invoice, problem: str) -> None:
        super().__init__(
            _("The stored file of %(number)s is not the one that was issued. Write to us: we keep the figures.")
            % {"number": invoice.number}
        )
        self.problem = problem


def keep(invoice: Invoice, then: Callable[[bytes], int]) -> int:
    """Render and store the file, and do `then` with its bytes in the transaction that says so; 0 when it was done.

    Not called in a transaction: the storage may be far away.
    """
    if InvoiceFile.objects.filter(invoice=invoice).exists():
        return 0
    from billing.invoice_pdf import render_invoice  # its library takes a while to load: not in every process

    pdf = render_invoice(invoice)
    # The storage gives a new name when this one is taken, as by a process that died before it could write the row.
    path = default_storage.save(f"invoices/{invoice.year}/{invoice.number}.pdf", ContentFile(pdf))
    try:
        with transaction.atomic():
            digest = hashlib.sha256(pdf).hexdigest()
            InvoiceFile.objects.create(invoice=invoice, path=path, sha256=digest, size=len(pdf))
            return then(pdf)
    except IntegrityError:  # another worker made it at the same moment
        default_storage.delete(path)
        return 0


def read(invoice: Invoice) -> bytes:
    """The bytes that were issued. Raises Conflict while they are being made, FileDamaged when they are not those."""
    file = InvoiceFile.objects.filter(invoice=invoice).first()
    if file is None:
        raise Conflict(_("The PDF is being made: try again in a moment."), code="invoice_file_not_ready")
    problem, pdf = _look_at(file)
    if problem:
        log.error("invoice %s: %s", invoice.number, problem)
        raise FileDamaged(invoice, problem)
    return pdf


def check() -> list[str]:
    """Files that are missing or changed, one line each. Nightly."""
    files = InvoiceFile.objects.select_related("invoice").order_by("pk")
    return [f"invoice {file.invoice.number}: {problem}" for file in files.iterator() if (problem := _look_at(file)[0])]


def _look_at(file: InvoiceFile) -> tuple[str, bytes]:
    """What is wrong, and the bytes."""
    try:
        with default_storage.open(file.path) as stored:
            pdf: bytes = stored.read()
    except FileNotFoundError:
        return f"{file.path} is missing", b""
    if hashlib.sha256(pdf).hexdigest() != file.sha256:
        return f"{file.path} is not what was issued", b""
    return "", pdf
