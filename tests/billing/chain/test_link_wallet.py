"""A wallet is linked by its signature: over our message, once, by who asked for it, and to one organisation."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from siwe import SiweMessage

from accounts.roles import Permission
from billing.models import LinkedWallet, LinkNonce
from lib.clock import now
from notifications.models import Notification
from tests.billing.chain.driver import Wallet
from tests.people import Caller, Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def wallet(settings: Any) -> Wallet:
    settings.CHAINS = {"sandbox": ["http://127.0.0.1:1"]}  # nothing of a chain is asked here
    return Wallet()


def message_for(person: Caller, wallet: Wallet) -> str:
    answer = person.api("post", "wallets/nonce", {"chain": "sandbox", "address": wallet.address})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["message"])


def send(person: Caller, message: str, signature: str) -> Any:
    return person.api("post", "wallets/link", {"message": message, "signature": signature})


def refusal(answer: Any) -> str:
    assert answer.status_code in {400, 403, 404, 409, 422}, answer.content
    return str(answer.json()["error"]["code"])


def test_linked_and_unlinked(owner: Person, wallet: Wallet) -> None:
    message = message_for(owner, wallet)
    answer = send(owner, message, wallet.sign(message))
    assert (answer.status_code, answer.json()["address"]) == (201, wallet.address)
    listed = owner.api("get", "wallets/links").json()["items"]
    assert [row["address"] for row in listed] == [wallet.address]
    assert owner.api("delete", f"wallets/links/{listed[0]['id']}").status_code == 204
    assert owner.api("get", "wallets/links").json()["items"] == []


def test_nonce_is_good_once(owner: Person, wallet: Wallet) -> None:
    message = message_for(owner, wallet)
    assert send(owner, message, wallet.sign(message)).status_code == 201
    assert refusal(send(owner, message, wallet.sign(message))) == "bad_nonce"


def test_nonce_is_spent_by_a_bad_signature_too(owner: Person, wallet: Wallet) -> None:
    message = message_for(owner, wallet)
    assert refusal(send(owner, message, Wallet().sign(message))) == "bad_signature"
    assert refusal(send(owner, message, wallet.sign(message))) == "bad_nonce"
    assert not LinkedWallet.objects.exists()


def test_nonce_expires(owner: Person, wallet: Wallet) -> None:
    message = message_for(owner, wallet)
    LinkNonce.objects.update(expires_at=now() - timedelta(seconds=1))
    assert refusal(send(owner, message, wallet.sign(message))) == "bad_nonce"


def test_nonce_of_another(owner: Person, admin: Person, outsider: Person, wallet: Wallet) -> None:
    message = message_for(owner, wallet)
    for other in (admin, outsider):
        assert refusal(send(other, message, wallet.sign(message))) == "bad_nonce"
    assert send(owner, message, wallet.sign(message)).status_code == 201


@pytest.mark.parametrize(
    ("part", "instead"),
    [("domain", "evil.example"), ("uri", "https://evil.example"), ("chain_id", 1)],
)
def test_message_of_another_site_or_chain(owner: Person, wallet: Wallet, part: str, instead: Any) -> None:
    ours = SiweMessage.from_message(message_for(owner, wallet))
    theirs = ours.model_copy(update={part: instead}).prepare_message()
    assert refusal(send(owner, theirs, wallet.sign(theirs))) in {"wrong_site", "bad_signature"}
    assert not LinkedWallet.objects.exists()


NONSENSE = ["", "0x", "0xzz", "0x" + "00" * 65, "0x" + "ff" * 65, "0x12", "ñ" * 65]


@pytest.mark.parametrize("signature", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused(owner: Person, wallet: Wallet, signature: str) -> None:
    message = message_for(owner, wallet)
    assert refusal(send(owner, message, signature)) == "bad_signature"
    assert refusal(send(owner, "hello\x00", signature)) == "bad_message"


def test_one_address_is_of_one_organisation(owner: Person, outsider: Person, wallet: Wallet) -> None:
    for _ in range(2):  # linking again what is ours is no error
        message = message_for(owner, wallet)
        assert send(owner, message, wallet.sign(message)).status_code == 201
    message = message_for(outsider, wallet)
    assert refusal(send(outsider, message, wallet.sign(message))) == "wallet_taken"
    assert LinkedWallet.objects.count() == 1


def test_only_who_may_pay(viewer: Person, member: Person, anonymous: Caller, wallet: Wallet) -> None:
    for person, status in ((viewer, 403), (member, 403), (anonymous, 401)):
        answer = person.api("post", "wallets/nonce", {"chain": "sandbox", "address": wallet.address})
        assert answer.status_code == status


def test_without_a_chain_it_says_so(owner: Person, settings: Any) -> None:
    settings.CHAINS = {}
    assert owner.api("get", "wallets/chains").json()["items"] == []
    answer = owner.api("post", "wallets/nonce", {"chain": "sandbox", "address": Wallet().address})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "chain_not_configured")
    page = owner.client.get("/billing/usdc/")
    assert page.status_code == 200
    assert b"not set up on this installation" in page.content
    assert not re.search(rb"0x[0-9a-fA-F]{40}", page.content), "no address that nobody watches"


def test_not_for_programs(owner: Person, wallet: Wallet) -> None:
    """An API key acts for its maker, who is not there to sign."""
    scopes = [Permission.SEE_BILLING, Permission.MANAGE_BILLING]
    made = owner.api("post", "auth/api-keys", {"name": "ci", "scopes": scopes})
    key = {"X-API-Key": made.json()["key"]}
    message = message_for(owner, wallet)
    signed = {"message": message, "signature": wallet.sign(message)}
    for route, body in (("nonce", {"chain": "sandbox", "address": wallet.address}), ("link", signed)):
        assert refusal(Caller().api("post", f"wallets/{route}", body, headers=key)) == "forbidden"
    assert not LinkedWallet.objects.exists()


def test_owners_are_told(
    owner: Person, billing_member: Person, viewer: Person, wallet: Wallet, settings: Any, mailoutbox: list[Any]
) -> None:
    """The wait before money can be withdrawn to the wallet begins now; linking it again begins none."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    for _ in range(2):
        message = message_for(owner, wallet)
        assert send(owner, message, wallet.sign(message)).status_code == 201
    assert sorted(mail.to[0] for mail in mailoutbox) == sorted([owner.user.email, billing_member.user.email])
    assert all(wallet.address in mail.body and "/billing/usdc/" in mail.body for mail in mailoutbox)
    told = Notification.objects.filter(kind="wallet.linked", body=wallet.address)
    assert {row.user for row in told} >= {owner.user, billing_member.user}
