"""Where owners are paid: each way, what is refused beside its field, who is told, what is kept secret."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from django.db import connection

from accounts import actor as actors
from accounts.models import AuditEntry, Organisation
from billing import reconcile
from billing.models import PayeeProfile, PayoutMethod, WebhookEvent
from billing.payments.services import NotConfigured
from billing.payouts import methods, payees
from lib.errors import Conflict, Forbidden, Invalid
from tests.billing.earning import can_be_paid
from tests.people import Caller, Person

IBAN, BIC = "DE89 3704 0044 0532 0130 00", "COBADEFF"


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def test_a_bank_account_is_sealed(owner: Person, organisation: Organisation, mailoutbox: list[Any]) -> None:
    method = methods.add_bank(organisation, holder="Andes  Vision S.A.", iban=IBAN, bic=BIC, actor=owner.actor)
    assert (method.display, method.holder, method.is_default) == ("DE ···· 3000", "Andes Vision S.A.", True)
    assert methods.iban_of(method) == "DE89370400440532013000"
    with connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM billing_payoutmethod t")
        assert "0532013000" not in cursor.fetchone()[0]
    assert [mail.to for mail in mailoutbox] == [[owner.user.email]]
    assert "DE ···· 3000" in mailoutbox[0].body
    assert "0532013000" not in mailoutbox[0].body
    entry = AuditEntry.objects.get(action="payout_method.add")
    assert entry.data == {"kind": "bank", "display": "DE ···· 3000"}
    again = methods.add_bank(organisation, holder="Andes Vision S.A.", iban=IBAN, bic=BIC, actor=owner.actor)
    assert (again.pk, len(mailoutbox)) == (method.pk, 1)


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"iban": "DE89 3704 0044 0532 0130 01"}, "iban"),
        ({"iban": "not one"}, "iban"),
        ({"bic": "COBA"}, "bic"),
        ({"bic": "BNPAFRPP"}, "bic"),
        ({"holder": " "}, "holder"),
        ({"holder": "Andes\x00Vision"}, "holder"),
        ({"holder": "安第斯视觉"}, "holder"),
        ({"holder": "x" * 141}, "holder"),
    ],
)
def test_a_wrong_account_stands_beside_its_field(
    owner: Person, organisation: Organisation, columns: dict[str, str], field: str
) -> None:
    given = {"holder": "Andes Vision", "iban": IBAN, "bic": BIC, **columns}
    with pytest.raises(Invalid) as refusal:
        methods.add_bank(organisation, **given, actor=owner.actor)
    assert list(refusal.value.fields) == [field]
    assert not PayoutMethod.objects.exists()


def test_paypal(owner: Person, organisation: Organisation, paypal: str) -> None:
    for wrong in ("", "nobody", "a@b", "x" * 130 + "@example.com"):
        with pytest.raises(Invalid) as refusal:
            methods.add_paypal(organisation, email=wrong, actor=owner.actor)
        assert "email" in refusal.value.fields
    method = methods.add_paypal(organisation, email=" Owner@Andes.example ", actor=owner.actor)
    assert method.destination == "owner@andes.example"


def test_the_first_is_the_default_and_hands_it_on(owner: Person, organisation: Organisation, paypal: str) -> None:
    first = methods.add_paypal(organisation, email="one@example.com", actor=owner.actor)
    second = methods.add_paypal(organisation, email="two@example.com", actor=owner.actor)
    assert methods.default_of(organisation) == first
    methods.make_default(second)
    assert methods.default_of(organisation) == second
    for _ in range(2):
        methods.remove(second, actor=owner.actor)
    assert methods.default_of(organisation) == first
    methods.remove(first, actor=owner.actor)
    assert methods.default_of(organisation) is None


def test_people_only_and_only_what_is_set_up(
    owner: Person, organisation: Organisation, settings: Any, team_plan: None
) -> None:
    key = owner.api("post", "auth/api-keys", {"name": "ci", "scopes": ["billing.manage"]}).json()["key"]
    body = {"kind": "bank", "holder": "Andes Vision", "iban": IBAN, "bic": BIC}
    answer = Caller().api("post", "payouts/methods", body, headers={"X-API-Key": key})
    assert answer.status_code == 403
    settings.PAYOUT_IBAN = ""
    with pytest.raises(NotConfigured):
        methods.add_bank(organisation, holder="Andes Vision", iban=IBAN, bic=BIC, actor=owner.actor)
    settings.CHAINS = {}
    with pytest.raises(NotConfigured):
        methods.add_usdc(organisation, chain="polygon", wallet=None, actor=owner.actor)


def test_stripe_knows_who_they_are(owner: Person, organisation: Organisation, stripe: str) -> None:
    """The owner goes to Stripe's pages and comes back; Stripe's notification tells of it too."""
    back = {"return_url": "http://127.0.0.1:8000/back/", "refresh_url": "http://127.0.0.1:8000/back/"}
    start: dict[str, Any] = {"email": owner.user.email, "actor": owner.actor, **back}
    with pytest.raises(Invalid) as refusal:
        methods.begin_stripe(organisation, **start)
    assert "country" in refusal.value.fields
    PayeeProfile.objects.create(organisation=organisation, legal_name="Andes Vision", country="US", tax_form="w9")
    url = methods.begin_stripe(organisation, **start)
    method = PayoutMethod.objects.get()
    assert (method.is_ready, method.destination[:5]) == (False, "acct_")
    assert not methods.refresh_stripe(method, actor=owner.actor).is_ready
    assert PayoutMethod.objects.get().missing
    requests.post(url, data={"action": "complete"}, timeout=10, allow_redirects=False)
    kind = "account.updated"
    body = {"type": kind, "data": {"object": {"object": "account", "id": method.destination}}}
    event = WebhookEvent.objects.create(service="stripe", event_ref="evt_1", kind=kind, body=body)
    reconcile.process_event(event.pk)
    method.refresh_from_db()
    assert (method.is_ready, method.missing) == (True, [])
    profile = payees.profile_of(organisation)
    assert (profile.identity, profile.identity_by) == ("verified", "stripe")
    assert methods.begin_stripe(organisation, **start).startswith("http")  # the same account again
    assert PayoutMethod.objects.count() == 1


def test_stripe_does_not_pay_there(owner: Person, organisation: Organisation, stripe: str) -> None:
    PayeeProfile.objects.create(organisation=organisation, legal_name="Andes Vision", country="KP", tax_form="local")
    back = "http://127.0.0.1:8000/back/"
    with pytest.raises(Conflict) as refusal:
        methods.begin_stripe(organisation, email=owner.user.email, return_url=back, refresh_url=back, actor=owner.actor)
    assert refusal.value.code == "payee_refused"
    assert not methods.methods_of(organisation).exists()


def test_who_states_who_is_paid(owner: Person, organisation: Organisation) -> None:
    given = {"legal_name": "Andes Vision", "country": "EC", "tax_form": "w8ben", "pays_weekly": False}
    for wrong in (
        {"legal_name": ""},
        {"legal_name": "a\x00b"},
        {"country": "XX"},
        {"tax_form": "none"},
        {"tax_form": "w2"},
    ):
        with pytest.raises(Invalid) as refusal:
            payees.change(organisation, **{**given, **wrong}, actor=owner.actor)  # type: ignore[arg-type]
        assert list(refusal.value.fields) == list(wrong)
    with pytest.raises(Forbidden):
        payees.change(organisation, **given, actor=actors.Actor(kind="api_key", id="1"))  # type: ignore[arg-type]
    can_be_paid(owner)
    before = payees.profile_of(organisation).tax_received_at
    stated = {"legal_name": "Andes Vision S.A.", "country": "EC", "tax_form": "w8bene"}
    after = payees.change(organisation, **stated, pays_weekly=False, actor=owner.actor)
    assert (after.tax_received_at, after.pays_weekly, after.identity) == (before, False, "verified")
