"""The file for our bank: what stands in it, that each payout is in one file once, and what staff mark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import connection

from accounts.models import Organisation
from billing import reconcile
from billing.lifecycle import PayoutStatus
from billing.models import BankFile, Payout, PayoutMethod
from billing.payments.services import NotConfigured
from billing.payouts import bank, deciding, methods, sending
from billing.payouts.earnings import earnings_of
from lib.clock import now
from lib.errors import Conflict, Invalid
from lib.secrets import seal
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.people import Person

IBAN = "FR1420041010050500013M02606"
NS = {"p": bank.NAMESPACE}


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    with later():
        yield
    assert reconcile.check_clearing() == []


def bank_account(owner: Person) -> PayoutMethod:
    return can_be_paid(
        owner, kind="bank", destination="", sealed_account=seal(IBAN), bic="BNPAFRPP", holder="Vision & Söhne <Andes>"
    )


def export(staff: Person) -> BankFile:
    return bank.export(person=staff.user, actor=staff.actor)


def test_what_stands_in_it(owner: Person, outsider: Person, staff: Person, settings: Any) -> None:
    payouts = []
    for person in (owner, outsider):
        earn(person.organisation)
        bank_account(person)
        payouts.append(ask(person, "50.25"))
    file = export(staff)
    assert (file.count, file.total) == (2, Decimal("100.50"))
    root = ElementTree.fromstring(bank.read(file, actor=staff.actor))  # noqa: S314 — our own file
    assert root.findtext(".//p:GrpHdr/p:MsgId", namespaces=NS) == file.public_id.replace("_", "-")
    assert len(file.public_id) <= 35  # as the format allows
    for place in ("GrpHdr", "PmtInf"):
        assert root.findtext(f".//p:{place}/p:NbOfTxs", namespaces=NS) == "2"
        assert root.findtext(f".//p:{place}/p:CtrlSum", namespaces=NS) == "100.50"
    assert root.findtext(".//p:DbtrAcct/p:Id/p:IBAN", namespaces=NS) == settings.PAYOUT_IBAN
    transfers = root.findall(".//p:CdtTrfTxInf", NS)
    assert [one.findtext("p:PmtId/p:EndToEndId", namespaces=NS) for one in transfers] == [
        payout.public_id.replace("_", "-") for payout in payouts
    ]
    (amount,) = transfers[0].findall("p:Amt/p:InstdAmt", NS)
    assert (amount.text, amount.get("Ccy")) == ("50.25", "USD")
    assert transfers[0].findtext("p:Cdtr/p:Nm", namespaces=NS) == "Vision + Sohne Andes"
    assert transfers[0].findtext("p:CdtrAcct/p:Id/p:IBAN", namespaces=NS) == IBAN
    order = [child.tag.partition("}")[2] for child in transfers[0]]
    assert order == ["PmtId", "Amt", "CdtrAgt", "Cdtr", "CdtrAcct", "RmtInf"]
    assert set(Payout.objects.values_list("status", "bank_file")) == {(PayoutStatus.EXPORTED, file.pk)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM billing_bankfile t")
        assert IBAN not in cursor.fetchone()[0]


def test_each_payout_is_in_one_file(owner: Person, staff: Person) -> None:
    earn(owner.organisation)
    bank_account(owner)
    with pytest.raises(Conflict) as refusal:
        export(staff)
    assert refusal.value.code == "nothing_due"
    ask(owner, "20")
    first = export(staff)
    with pytest.raises(Conflict):
        export(staff)
    ask(owner, "20")
    assert export(staff).pk != first.pk
    assert bank.read(first, actor=staff.actor) == bank.read(BankFile.objects.get(pk=first.pk), actor=staff.actor)


def test_only_what_is_due(owner: Person, organisation: Organisation, staff: Person, settings: Any) -> None:
    settings.PAYOUT_APPROVAL_ABOVE = Decimal(30)
    earn(organisation)
    bank_account(owner)
    payout = ask(owner, "50")
    Payout.objects.update(not_before=now() + timedelta(hours=1))
    for make_due in (
        lambda: Payout.objects.update(not_before=now()),
        lambda: deciding.approve(payout, person=staff.user, actor=staff.actor),
    ):
        with pytest.raises(Conflict):
            export(staff)
        make_due()
    assert export(staff).count == 1


def test_paid_and_returned_line_by_line(owner: Person, organisation: Organisation, staff: Person) -> None:
    earn(organisation)
    bank_account(owner)
    paid, refused = ask(owner, "50"), ask(owner, "20")
    with pytest.raises(Conflict):
        bank.mark_paid(paid, person=staff.user, actor=staff.actor)  # the bank does not have it yet
    export(staff)
    with pytest.raises(Conflict):
        deciding.cancel(paid, actor=owner.actor)
    assert sending.bring_up(paid.pk).status == PayoutStatus.EXPORTED  # nobody to ask
    bank.mark_paid(paid, person=staff.user, actor=staff.actor)
    with pytest.raises(Conflict):
        bank.mark_paid(paid, person=staff.user, actor=staff.actor)
    with pytest.raises(Invalid):
        bank.mark_returned(refused, reason=" ", person=staff.user, actor=staff.actor)
    bank.mark_returned(refused, reason="AC04 closed account", person=staff.user, actor=staff.actor)
    assert (earnings_of(organisation).available, earnings_of(organisation).set_aside) == (Decimal(35), Decimal(0))
    assert reconcile.check_clearing() == []
    back = bank.mark_returned(paid, reason="AC01", person=staff.user, actor=staff.actor)
    assert (back.status, back.returned, back.reason) == (PayoutStatus.RETURNED, Decimal(50), "AC01")
    assert earnings_of(organisation).balance == 85


def test_without_an_account_of_ours(owner: Person, staff: Person, settings: Any) -> None:
    settings.PAYOUT_IBAN = ""
    assert "bank" not in methods.configured()
    with pytest.raises(NotConfigured):
        export(staff)
