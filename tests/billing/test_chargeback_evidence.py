"""Evidence for a payer's bank: compiled from our records, shown as it is sent, sent once, by staff of finance only."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from accounts import audit
from accounts.models import AuditEntry
from accounts.roles import StaffGroup
from accounts.seeds import seed as seed_staff
from billing import chargebacks, evidence, ledger, reconcile
from billing.accounts import Kind, account_of, wallet_of
from billing.lifecycle import ChargebackStatus
from billing.models import Chargeback, Invoice, Payment
from billing.payments.services import STRIPE
from billing.payments.services import chargebacks as remote
from billing.payments.services import stripe as adapter
from lib.clock import now
from lib.errors import Conflict, Invalid
from tests.billing.invoicing import deliver_invoices, refund
from tests.billing.money import faulty, leg
from tests.billing.taken_back import decide, disputed, hear, pay_by_card, pay_plan_by_card
from tests.people import Person, make_user

S = ChargebackStatus


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def row(owner: Person, stripe: str) -> Chargeback:
    return disputed(stripe, pay_by_card(owner))


def at_stripe(row: Chargeback) -> dict[str, Any]:
    body: dict[str, Any] = adapter()._api.disputes.retrieve(row.service_ref).to_dict()
    return body


def send(staff: Person, row: Chargeback, **fields: str) -> Any:
    return staff.client.post(f"/staff/chargebacks/{row.public_id}/submit/", fields)


def shown(page: Any) -> str:
    found = re.search(r'name="shown" value="([0-9a-f]{64})"', page.content.decode())
    assert found
    return found[1]


def look(staff: Person, row: Chargeback) -> Any:
    return staff.client.get(f"/staff/chargebacks/{row.public_id}/")


def test_what_a_top_up_has_to_show(owner: Person, stripe: str) -> None:
    payment = pay_by_card(owner)
    audit.record(payment.organisation_id, owner.actor, "pod.deploy", None, {})
    wallet, revenue = wallet_of(payment.organisation, "USD"), account_of(None, Kind.REVENUE, "USD")
    for amount in ("1.25", "0.75"):
        ledger.post([leg(wallet, revenue, amount, source_type="usage", source_id=uuid4().hex, memo="pod_training")])
    deliver_invoices()
    pack = evidence.compile_pack(disputed(stripe, payment), "We called them.")
    assert pack["customer_name"] == "Andes Vision"
    assert pack["customer_email_address"] == "owner@andes.example"
    assert re.search(r"owner@andes\.example  payment\.start  pay_", pack["access_activity_log"])
    assert re.search(r"owner@andes\.example  pod\.deploy", pack["access_activity_log"])
    story = pack["uncategorized_text"]
    assert story.startswith("We called them.\n\nPayment pay_")
    assert f"Invoice {Invoice.objects.get().number}, sent by email: GPUBroker wallet top-up 25.00 USD" in story
    assert "Card: visa ending in 4242" in story
    assert "pod_training  2 intervals  2.00 USD" in story
    assert "cancellation_policy_disclosure" not in pack
    assert set(pack) <= set(evidence.LABELS)
    assert all(len(text) <= evidence.LONGEST_FIELD for text in pack.values())


def test_what_a_plan_has_to_show(owner: Person, staff: Person, stripe: str) -> None:
    payment = pay_plan_by_card(owner)
    refund(payment, "9", staff)
    pack = evidence.compile_pack(disputed(stripe, payment))
    assert payment.paid_from
    assert payment.paid_until
    assert pack["service_date"] == f"{payment.paid_from:%Y-%m-%d} to {payment.paid_until:%Y-%m-%d}"
    assert "refunded 9.00 USD" in pack["refund_refusal_explanation"]
    assert pack["cancellation_policy_disclosure"] == evidence.TERMS_END


def test_the_policy_is_what_our_terms_say(owner: Person) -> None:
    page = owner.client.get("/terms/").content.decode()
    assert evidence.TERMS_PAY in page
    assert evidence.TERMS_END in page


def test_sent_as_it_was_shown(staff: Person, row: Chargeback) -> None:
    page = look(staff, row)
    assert "Evidence as it will be sent" in page.content.decode()
    digest = shown(page)
    changed = send(staff, row, shown=digest, statement="They used it.")  # shown first, sent by the next press
    assert "They used it." in changed.content.decode()
    assert "Nothing is sent yet" in changed.content.decode()
    assert at_stripe(row)["status"] == "needs_response"
    for _ in range(2):
        assert send(staff, row, shown=shown(changed), statement="They used it.").status_code == 302
    row.refresh_from_db()
    assert (row.status, row.submitted_at is None) == (S.UNDER_REVIEW.value, False)
    theirs = at_stripe(row)
    assert theirs["evidence_details"]["submission_count"] == 1
    assert {name: text for name, text in theirs["evidence"].items() if text} == row.evidence
    assert "They used it." in row.evidence["uncategorized_text"]
    page = look(staff, row).content.decode()
    assert "Evidence that was sent" in page
    assert "Nothing is sent yet" not in page
    assert "They used it." in page
    assert page.index("<h3>Customer<") < page.index("<h3>What was sold<") < page.index("<h3>The payment and what")
    assert "Send to the bank" not in page
    assert AuditEntry.objects.filter(action="chargeback.submit").count() == 1


def test_stripe_is_away_and_comes_back(staff: Person, row: Chargeback, stripe: str) -> None:
    pack = evidence.compile_pack(row)
    with faulty(stripe, "http_500", "/v1/disputes/"):
        waiting = chargebacks.submit(chargeback=row, evidence=pack, actor=staff.actor)
    assert (waiting.status, waiting.evidence) == (S.NEEDS_RESPONSE.value, pack)
    assert "on its way" in look(staff, row).content.decode()
    with pytest.raises(Conflict):
        chargebacks.submit(chargeback=row, evidence={**pack, "customer_name": "Another"}, actor=staff.actor)
    with pytest.raises(Conflict):
        chargebacks.accept(chargeback=row, actor=staff.actor)
    Chargeback.objects.update(checked_at=now() - timedelta(hours=1))
    chargebacks.reconcile_chargebacks()
    row.refresh_from_db()
    assert row.status == S.UNDER_REVIEW
    assert at_stripe(row)["evidence_details"]["submission_count"] == 1


def test_the_bank_wants_to_hear_more(staff: Person, row: Chargeback) -> None:
    """What was sent is not sent again by itself: it is shown, and staff write anew."""
    first = remote(STRIPE).fetch_chargeback(row.service_ref)
    pack = evidence.compile_pack(row, "They used it.")
    chargebacks.submit(chargeback=row, evidence=pack, actor=staff.actor)
    Chargeback.objects.update(warned_at=now())
    assert chargebacks.learn(STRIPE, first).evidence == pack, "what was asked before it was sent says nothing of it"
    row = chargebacks.learn(STRIPE, replace(first, asked_at=now()))
    assert (row.status, row.evidence, row.submitted_at, row.warned_at) == (S.NEEDS_RESPONSE.value, {}, None, None)
    assert [sent["evidence"] for sent in row.sent_before] == [pack]
    page = look(staff, row)
    assert "The bank wants to hear more" in page.content.decode()
    assert "They used it." in page.content.decode()
    changed = send(staff, row, shown=shown(page), statement="And once more.")
    assert send(staff, row, shown=shown(changed), statement="And once more.").status_code == 302
    row.refresh_from_db()
    assert "And once more." in row.evidence["uncategorized_text"]
    assert "They used it." in look(staff, row).content.decode()
    fragment = staff.client.get(f"/staff/chargebacks/{row.public_id}/", headers={"HX-Request": "true"})
    assert "<html" not in fragment.content.decode()
    assert 'data-live="/ws/staff/billing/"' in look(staff, row).content.decode()


def test_what_was_sent_is_not_sent_again(staff: Person, row: Chargeback) -> None:
    """Learned by the look that would send: Stripe waits, and what we hold is what the bank has heard."""
    first = remote(STRIPE).fetch_chargeback(row.service_ref)
    Chargeback.objects.update(evidence={"customer_name": "Andes Vision"})
    chargebacks.learn(STRIPE, replace(first, state="under_review", asked_at=now()))
    row = chargebacks.bring_up(row.pk)
    assert (row.status, row.evidence, len(row.sent_before)) == (S.NEEDS_RESPONSE.value, {}, 1)
    assert at_stripe(row)["evidence_details"]["submission_count"] == 0


def test_sent_before_we_kept_what_was_sent(staff: Person, row: Chargeback) -> None:
    """The bank waited for more when the installation was brought up to date: staff can answer it."""
    sent = {"customer_name": "Andes Vision"}
    at = now()
    Chargeback.objects.update(evidence=sent, submitted_at=at, warned_at=at)
    import_module("billing.migrations.0019_evidence_sent_before").set_aside(apps, None)
    row.refresh_from_db()
    assert (row.evidence, row.submitted_at, row.warned_at) == ({}, None, None)
    assert row.sent_before == [{"at": at.isoformat(), "evidence": sent}]
    assert chargebacks.submit(chargeback=row, evidence=sent, actor=staff.actor).status == S.UNDER_REVIEW
    assert at_stripe(row)["evidence_details"]["submission_count"] == 1


def test_a_lost_answer_sends_nothing_twice(staff: Person, row: Chargeback, stripe: str) -> None:
    pack = evidence.compile_pack(row)
    with faulty(stripe, "drop_answer_after_create", "/v1/disputes/"):
        chargebacks.submit(chargeback=row, evidence=pack, actor=staff.actor)
    after = chargebacks.submit(chargeback=row, evidence=pack, actor=staff.actor)
    assert (after.status, after.evidence) == (S.UNDER_REVIEW.value, pack)
    assert at_stripe(row)["evidence_details"]["submission_count"] == 1


def test_what_cannot_be_sent(staff: Person, row: Chargeback, stripe: str) -> None:
    with pytest.raises(Invalid):
        chargebacks.submit(chargeback=row, evidence={}, actor=staff.actor)
    with pytest.raises(Conflict) as refusal:  # Stripe does not know such a field
        chargebacks.submit(chargeback=row, evidence={"nonsense": "x"}, actor=staff.actor)
    assert refusal.value.code == "refused"
    row.refresh_from_db()
    assert row.evidence == {}
    Chargeback.objects.update(due_at=now() - timedelta(minutes=1))
    with pytest.raises(Conflict) as late:
        chargebacks.submit(chargeback=row, evidence=evidence.compile_pack(row), actor=staff.actor)
    assert late.value.code == "too_late"
    decide(stripe, row.service_ref, "lost")
    hear(row.service_ref)
    with pytest.raises(Conflict) as closed:
        chargebacks.submit(chargeback=row, evidence={"customer_name": "x"}, actor=staff.actor)
    assert closed.value.code == "not_waiting"
    with pytest.raises(Conflict) as closed:
        chargebacks.accept(chargeback=row, actor=staff.actor)
    assert closed.value.code == "not_waiting"


def test_give_in(owner: Person, staff: Person, row: Chargeback) -> None:
    url = f"/staff/chargebacks/{row.public_id}/accept/"
    staff.client.post(url)
    assert at_stripe(row)["status"] == "needs_response"
    for _ in range(2):
        assert staff.client.post(url, {"sure": "yes"}).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.accepted_at is None) == (S.LOST.value, False)
    assert Invoice.objects.get(kind="credit_note").gross == 25
    assert reconcile.check_clearing() == []


def test_pages_and_lists(owner: Person, staff: Person, row: Chargeback, stripe: str) -> None:
    page = staff.client.get("/staff/chargebacks/").content.decode()
    assert row.public_id in page
    assert "Andes Vision" in page
    text = staff.client.get(f"/staff/chargebacks/{row.public_id}/evidence.txt")
    assert text["Content-Disposition"] == f'attachment; filename="{row.public_id}.txt"'
    assert evidence.as_text(row, evidence.compile_pack(row)) == text.content.decode()
    [listed] = staff.api("get", "admin/chargebacks").json()["items"]
    assert (listed["id"], listed["status"], listed["fee"]["amount"]) == (row.public_id, "needs_response", "15.000000")
    assert staff.api("get", "admin/chargebacks?status=won").json()["items"] == []
    assert staff.client.get("/admin/billing/chargeback/?q=du_").status_code == 200
    assert staff.client.get(f"/admin/billing/chargeback/{row.pk}/change/").status_code == 200
    home = owner.client.get("/billing/").content.decode()
    assert "Your bank disputes your payment" in home
    assert "taken back by your bank" in home
    decide(stripe, row.service_ref, "won")
    hear(row.service_ref)
    assert "Your bank disputes" not in owner.client.get("/billing/").content.decode()


def test_who_may(owner: Person, row: Chargeback) -> None:
    seed_staff()
    url = f"/staff/chargebacks/{row.public_id}/"
    for group, sees, answers in (
        (StaffGroup.SUPPORT, 403, 403),
        (StaffGroup.OPERATIONS, 403, 403),
        (StaffGroup.FINANCE, 200, 302),
    ):
        user = make_user(f"{group}@gpubroker.example", is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        person = Person(user=user)
        assert person.client.get(url).status_code == sees
        assert person.api("get", "admin/chargebacks").status_code == sees
        assert person.client.post(f"{url}accept/").status_code == answers
    assert person.client.get("/staff/chargebacks/cbk_zzz/").status_code == 404
    assert owner.client.get(url).status_code == 404
    assert owner.api("get", "admin/chargebacks").status_code == 404
    assert Payment.objects.get().charged_back == 25
