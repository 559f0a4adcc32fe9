"""Payouts by our bank: a file of credit transfers (ISO 20022, pain.001.001.09) that staff hand in, and what became of it.

Made once: its bytes are kept, sealed for the account numbers in it, so that the same file can be fetched again and the
bank knows a repetition by its message id.
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from decimal import Decimal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import User
from billing.lifecycle import PayoutStatus, switch_payout
from billing.models import BankFile, Payout, PayoutMethod
from billing.payments.base import RemotePayout
from billing.payments.services import NotConfigured
from billing.payouts import sending
from billing.payouts.deciding import lock, refuse_member
from billing.payouts.earnings import CURRENCY
from billing.payouts.latin import latin, reference
from billing.payouts.methods import Kind, configured, iban_of
from lib.clock import now
from lib.errors import Conflict, Invalid
from lib.ids import new_id
from lib.secrets import seal, unseal

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
LONGEST_NAME = 140
MOST = 1000  # of one file


@transaction.atomic
def export(*, person: User, actor: Actor) -> BankFile:
    """All that is due by bank, in one file. Raises Conflict when nothing is."""
    if Kind.BANK not in configured():
        name = Kind.BANK.label
        raise NotConfigured(_("Payouts by %(name)s are not set up on this installation.") % {"name": name})
    waiting = sending.due().filter(kind=Kind.BANK).order_by("pk").select_related("organisation", "method")
    found = waiting.select_for_update(skip_locked=True, no_key=True, of=("self",))[:MOST]
    payouts = [payout for payout in found if sending.is_due(payout)]
    if not payouts:
        raise Conflict(_("No payout by bank is due."), code="nothing_due")
    total = sum((payout.amount for payout in payouts), Decimal(0))
    file = BankFile(id=new_id(), count=len(payouts), total=total, currency=CURRENCY, created_by=person)
    content = _write(file, payouts)
    file.sealed_content, file.sha256 = seal(content.decode()), hashlib.sha256(content).hexdigest()
    file.save(force_insert=True)
    for payout in payouts:
        switch_payout(payout, PayoutStatus.EXPORTED, bank_file=file, sent_at=now())
    for payout in sorted(payouts, key=lambda one: one.organisation_id):  # each locks the chain of one
        audit.record(payout.organisation_id, actor, "payout.export", payout, {"file": file.public_id})
    return file


@transaction.atomic
def read(file: BankFile, *, actor: Actor) -> bytes:
    """The file as it was made. It holds account numbers: who has read it stands in the log of each payee."""
    for organisation_id in sorted(set(file.payouts.values_list("organisation", flat=True))):  # each locks a chain
        audit.record(organisation_id, actor, "bank_file.read", file)
    content = unseal(bytes(file.sealed_content)).encode()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise Conflict(_("This file is not what it was."), code="file_changed")
    return content


def mark_file_paid(file: BankFile, *, person: User, actor: Actor) -> int:
    """The bank has paid all of it that is not marked yet. Returns how many; raises Conflict when none is left.

    Those of the person's own organisations are left to others. Each is a transaction of its own: what a break has left
    over is marked when this is done again.
    """
    left = file.payouts.filter(status=PayoutStatus.EXPORTED).exclude(organisation__memberships__user=person)
    marked = [mark_paid(payout, person=person, actor=actor) for payout in left.order_by("pk")]
    if not marked:
        raise Conflict(_("No payout of this file waits for you to mark it."), code="nothing_to_mark")
    return len(marked)


def mark_paid(payout: Payout, *, person: User, actor: Actor) -> Payout:
    """The bank has paid it. Raises Conflict for one that was not handed to it; Forbidden for a member of the payee."""
    refuse_member(person, payout.organisation)
    return _mark(payout, "paid", "", actor)


def mark_returned(payout: Payout, *, reason: str, person: User, actor: Actor) -> Payout:
    """The bank has refused it, or it came back after. Raises Conflict, Invalid; Forbidden for a member of the payee."""
    refuse_member(person, payout.organisation)
    reason = reason.strip()
    if not 1 <= len(reason) <= 80 or not reason.isprintable():
        message = _("Write the bank's reason, in up to 80 characters.")
        raise Invalid(message, fields={"reason": [message]})
    return _mark(payout, "returned", reason, actor)


@transaction.atomic
def _mark(payout: Payout, state: str, reason: str, actor: Actor) -> Payout:
    payout = lock(payout)
    fitting = {PayoutStatus.EXPORTED} if state == "paid" else {PayoutStatus.EXPORTED, PayoutStatus.PAID}
    if payout.kind != Kind.BANK or payout.status not in fitting:
        raise Conflict(_("The bank does not have this payout, or it is finished."), code="not_exported")
    answer = RemotePayout(
        ref="",
        reference=payout.public_id,
        state="paid" if state == "paid" else "returned",
        amount=payout.amount,
        currency=payout.currency,
        reason=reason,
    )
    payout = sending.book(payout, answer)
    audit.record(payout.organisation_id, actor, f"payout.{state}", payout, {"reason": reason})
    return payout


def _write(file: BankFile, payouts: list[Payout]) -> bytes:
    ElementTree.register_namespace("", NAMESPACE)
    document = Element(_name("Document"))
    root = _add(document, "CstmrCdtTrfInitn")
    _write_head(_add(root, "GrpHdr"), file)
    order = _add(root, "PmtInf")
    _write_order(order, file)
    for payout in payouts:
        _write_transfer(_add(order, "CdtTrfTxInf"), payout, payout.method)
    ElementTree.indent(document)
    content: bytes = ElementTree.tostring(document, encoding="utf-8", xml_declaration=True)
    return content


def _write_head(head: Element, file: BankFile) -> None:
    _add(head, "MsgId", reference(file.public_id))
    _add(head, "CreDtTm", now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _write_sums(head, file)
    _add(_add(head, "InitgPty"), "Nm", latin(settings.SELLER["name"])[:LONGEST_NAME])


def _write_order(order: Element, file: BankFile) -> None:
    """Who pays, and from which account. The execution date is today's: the bank takes its next banking day."""
    _add(order, "PmtInfId", reference(file.public_id))
    _add(order, "PmtMtd", "TRF")
    _write_sums(order, file)
    _add(_add(order, "ReqdExctnDt"), "Dt", now().date().isoformat())
    _add(_add(order, "Dbtr"), "Nm", latin(settings.SELLER["name"])[:LONGEST_NAME])
    _write_account(_add(order, "DbtrAcct"), settings.PAYOUT_IBAN)
    _write_bank(_add(order, "DbtrAgt"), settings.PAYOUT_BIC)
    _add(order, "ChrgBr", "SHAR")


def _write_transfer(transfer: Element, payout: Payout, method: PayoutMethod) -> None:
    _add(_add(transfer, "PmtId"), "EndToEndId", reference(payout.public_id))
    amount = _add(_add(transfer, "Amt"), "InstdAmt", f"{payout.amount:.2f}")
    amount.set("Ccy", payout.currency)
    _write_bank(_add(transfer, "CdtrAgt"), method.bic)
    _add(_add(transfer, "Cdtr"), "Nm", latin(method.holder)[:LONGEST_NAME])
    _write_account(_add(transfer, "CdtrAcct"), iban_of(method))
    _add(_add(transfer, "RmtInf"), "Ustrd", f"GPUBroker {reference(payout.public_id)}")


def _write_sums(parent: Element, file: BankFile) -> None:
    _add(parent, "NbOfTxs", str(file.count))
    _add(parent, "CtrlSum", f"{file.total:.2f}")


def _write_account(account: Element, iban: str) -> None:
    _add(_add(account, "Id"), "IBAN", iban)


def _write_bank(agent: Element, bic: str) -> None:
    _add(_add(agent, "FinInstnId"), "BICFI", bic)


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    child = SubElement(parent, _name(name))
    child.text = text
    return child


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
