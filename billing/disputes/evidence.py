"""Files that the sides of a dispute hand in: known by their content, small, few, and only ever given out as files."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.disputes.opening import lock
from billing.lifecycle import DisputeStatus, tell_dispute
from billing.models import Dispute, DisputeEvidence
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.ids import new_id

LARGEST = 5 * 1024 * 1024
MOST_FILES = 10  # of each side
PNG, JPEG, PDF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-"
STARTS = {PNG: ("image/png", ".png"), JPEG: ("image/jpeg", ".jpg"), PDF: ("application/pdf", ".pdf")}
TEXT = ("text/plain; charset=utf-8", ".txt")
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
NAME = re.compile(r"[^\w.() -]")


def hand_in(*, dispute: Dispute, side: Organisation, file: UploadedFile[Any] | None, actor: Actor) -> DisputeEvidence:
    """Keep a file of one side. The same file again is the row that is there.

    Not called in a transaction: the storage may be far away. Raises Invalid for the file, Conflict when it is too late
    or there are too many.
    """
    content, (content_type, suffix) = _read(file)
    assert file is not None
    digest = hashlib.sha256(content).hexdigest()
    same = DisputeEvidence.objects.filter(dispute=dispute, organisation=side, sha256=digest)
    if (found := same.first()) is not None:
        return found
    _refuse_late_or_many(dispute, side)
    path = default_storage.save(f"disputes/{dispute.pk.hex}/{new_id().hex}{suffix}", ContentFile(content))
    try:
        with transaction.atomic():
            _refuse_late_or_many(lock(dispute), side)
            row = DisputeEvidence.objects.create(
                dispute=dispute,
                organisation=side,
                name=_clean(file.name or "", suffix),
                content_type=content_type,
                path=path,
                sha256=digest,
                size=len(content),
            )
            audit.record(side.pk, actor, "dispute.evidence", row, {"dispute": dispute.public_id, "sha256": digest})
            tell_dispute(dispute)
            return row
    except IntegrityError:  # it was sent twice at the same moment
        default_storage.delete(path)
        return same.get()
    except AppError:
        default_storage.delete(path)
        raise


def as_file(row: DisputeEvidence) -> HttpResponse:
    """To be saved, never to be shown by a browser as a page of ours."""
    try:
        with default_storage.open(row.path) as stored:
            content = stored.read()
    except FileNotFoundError:
        raise NotFound(_("This file is gone.")) from None
    headers = {
        "Content-Disposition": content_disposition_header(True, row.name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private",
    }
    return HttpResponse(content, content_type=row.content_type, headers=headers)


def _read(file: UploadedFile[Any] | None) -> tuple[bytes, tuple[str, str]]:
    """The bytes, their type and the ending of its files."""
    message = ""
    if file is None or not file.size:
        message = _("Choose a file.")
    elif file.size > LARGEST:
        message = _("A file can have at most %d MB.") % (LARGEST // 1024 // 1024)
    if file is None or message:
        raise Invalid(message, code="bad_file", fields={"file": [message]})
    content = file.read()
    kind = kind_of(content)
    if kind is None:
        message = _("Send a PNG or JPEG image, a PDF or plain text.")
        raise Invalid(message, code="bad_file", fields={"file": [message]})
    return content, kind


def kind_of(content: bytes) -> tuple[str, str] | None:
    """By what it is, whatever it is called: its type and ending; None for what is not taken."""
    for start, kind in STARTS.items():
        if content.startswith(start):
            return kind
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if NO_TEXT.search(text) else TEXT


def _clean(name: str, suffix: str) -> str:
    """A name that is safe wherever it is saved; its ending says what the file is."""
    stem = NAME.sub("_", PurePosixPath(name.replace("\\", "/")).stem)[:80].strip(" .")
    return f"{stem or 'file'}{suffix}"


def _refuse_late_or_many(dispute: Dispute, side: Organisation) -> None:
    if dispute.status == DisputeStatus.FINAL:
        raise Conflict(_("This dispute is closed."), code="too_late")
    if dispute.evidence.filter(organisation=side).count() >= MOST_FILES:
        raise Conflict(_("You can hand in at most %d files.") % MOST_FILES, code="too_many_files")
