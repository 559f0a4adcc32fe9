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
from lib.clock import now
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
    methods.make_default(second, actor=owner.actor)
    assert methods.default_of(organisation) == second
    for _ in range(2):
        methods.remove(second, actor=owner.actor)
    assert methods.default_of(organisation) == first
    methods.remove(first, actor=owner.actor)
    assert methods.default_of(organisation) is None


def test_where_the_next_payout_goes_is_told_and_written_down(
    owner: Person,
    admin: Person,
    billing_member: Person,
    viewer: Person,
    organisation: Organisation,
    paypal: str,
    mailoutbox: list[Any],
) -> None:
    managers = sorted(person.user.email for person in (owner, admin, billing_member))
    methods.add_paypal(organisation, email="one@example.com", actor=owner.actor)
    assert sorted(mail.to[0] for mail in mailoutbox) == managers
    second = methods.add_paypal(organisation, email="two@example.com", actor=owner.actor)
    mailoutbox.clear()
    for _ in range(2):  # once is enough
        methods.make_default(second, actor=admin.actor)
    assert sorted(mail.to[0] for mail in mailoutbox) == managers
    assert all("two@example.com" in mail.body and "/billing/earnings/" in mail.body for mail in mailoutbox)
    entry = AuditEntry.objects.get(action="payout_method.make_default")
    assert (entry.object_id, entry.actor_id) == (second.public_id, str(admin.user.pk))
    methods.remove(second, actor=admin.actor)
    assert "one@example.com" in mailoutbox[-1].body  # it leads again
    assert AuditEntry.objects.filter(action="payout_method.make_default").count() == 2


def test_a_key_neither_removes_nor_chooses(owner: Person, organisation: Organisation, team_plan: None) -> None:
    method, other = can_be_paid(owner), can_be_paid(owner, is_default=False)
    key = owner.api("post", "auth/api-keys", {"name": "ci", "scopes": ["billing.manage"]}).json()["key"]
    answer = Caller().api("delete", f"payouts/methods/{method.public_id}", headers={"X-API-Key": key})
    assert answer.status_code == 403
    with pytest.raises(Forbidden):
        methods.make_default(other, actor=actors.Actor(kind="api_key", id="1"))
    assert methods.default_of(organisation) == method


def test_doors_of_methods_have_a_rate(owner: Person) -> None:
    ways = [can_be_paid(owner), can_be_paid(owner, is_default=False)]
    place = "/billing/earnings/methods/"
    codes = [owner.client.post(f"{place}{ways[n % 2].public_id}/default/").status_code for n in range(11)]
    assert codes == [302] * 10 + [429]
    assert owner.api("delete", f"payouts/methods/{ways[0].public_id}").status_code == 429


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


def test_stripe_knows_who_they_are(
    owner: Person, organisation: Organisation, stripe: str, mailoutbox: list[Any]
) -> None:
    """The owner goes to Stripe's pages and comes back; Stripe's notification tells of it too."""
    back = {"return_url": "http://127.0.0.1:8000/back/", "refresh_url": "http://127.0.0.1:8000/back/"}
    start: dict[str, Any] = {"email": owner.user.email, "actor": owner.actor, **back}
    with pytest.raises(Invalid) as refusal:
        methods.begin_stripe(organisation, **start)
    assert "country" in refusal.value.fields
    PayeeProfile.objects.create(organisation=organisation, legal_name="Andes Vision", country="US", tax_form="w9")
    url = methods.begin_stripe(organisation, **start)
    method = PayoutMethod.objects.get()
    began = method.payable_from
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
    # The wait begins when it can be paid to, and those who look after the money hear of it.
    assert method.payable_from > began
    assert len(mailoutbox) == 2
    profile = payees.profile_of(organisation)
    assert (profile.identity, profile.identity_by) == ("verified", "stripe")
    assert methods.begin_stripe(organisation, **start).startswith("http")  # the same account again
    assert PayoutMethod.objects.count() == 1
    # Another name is not the one that Stripe has verified: it goes on to pay its own, and nobody else does.
    stated: dict[str, Any] = {"legal_name": "Other S.A.", "country": "US", "tax_form": "w9", "pays_weekly": True}
    payees.change(organisation, **stated, actor=owner.actor)
    PayeeProfile.objects.update(tax_received_at=now())
    methods.refresh_stripe(method, actor=owner.actor)
    profile = payees.profile_of(organisation)
    assert [gap.field for gap in payees.missing(profile, "bank")] == ["identity"]
    assert payees.missing(profile, "stripe") == []
    assert methods.missing_of(organisation) == []  # it is the default


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
    assert AuditEntry.objects.filter(action="payee.pays_weekly").count() == 1
    after = payees.change(organisation, **{**stated, "country": "US"}, pays_weekly=False, actor=owner.actor)
    assert (after.tax_received_at, after.identity, after.identity_by) == (None, "pending", "")
