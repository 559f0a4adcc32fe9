"""The PDF of an invoice: rendered once, kept with the hash of its bytes, and never made anew."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from billing.models import Invoice, InvoiceFile
from lib.clock import now
from lib.errors import AppError, Conflict

log = logging.getLogger(__name__)
FOLDER = "invoices"
LEFT_FOR = timedelta(days=1)  # by then whoever has stored a file has written its row, or never will


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
    path = default_storage.save(f"{FOLDER}/{invoice.year}/{invoice.number}.pdf", ContentFile(pdf))
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


def sweep() -> int:
    """Remove files of processes that died before they wrote the row: another one was made since, which counts.

    What is the only file of its invoice stays, whatever our rows say. Nightly. Returns how many were removed.
    """
    with suppress(FileNotFoundError):  # there is no invoice yet
        return sum(_sweep(f"{FOLDER}/{year}") for year in default_storage.listdir(FOLDER)[0])
    return 0


def _sweep(folder: str) -> int:
    named = set(InvoiceFile.objects.filter(path__startswith=f"{folder}/").values_list("path", flat=True))
    numbers = {_number(path) for path in named}
    paths = {f"{folder}/{name}" for name in default_storage.listdir(folder)[1]}
    left = [path for path in paths - named if _number(path) in numbers]
    old = [path for path in left if default_storage.get_modified_time(path) < now() - LEFT_FOR]
    for path in old:
        default_storage.delete(path)
    return len(old)


def _number(path: str) -> str:
    """Of the invoice: a storage gives the second file of one name `_` and a few letters more."""
    return PurePosixPath(path).stem.partition("_")[0]


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
