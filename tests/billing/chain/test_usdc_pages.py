"""The page of USDC and its forms, the API of withdrawals, and what staff do in the admin."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from accounts.models import Organisation
from billing import wallet
from billing.chain import deposits, nodes
from billing.models import ChainAlarm, ChainCursor, Deposit, LinkedWallet, Withdrawal
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.money import fund
from tests.people import Person

PAGE = "/billing/usdc/"


def test_link_by_hand(chain: Chain, owner: Person) -> None:
    signer = Wallet()
    page = owner.client.post(PAGE + "message/", {"chain": "sandbox", "address": signer.address})
    assert page.status_code == 200
    message = page.context["sign_form"].initial["message"]
    sent = {"message": message.replace("\n", "\r\n"), "signature": signer.sign(message)}
    answer = owner.client.post(PAGE + "link/", sent, follow=True)
    assert signer.address in answer.content.decode()
    wallet_id = LinkedWallet.objects.get().public_id
    owner.client.post(f"{PAGE}wallets/{wallet_id}/unlink/")
    assert LinkedWallet.objects.get().unlinked_at is not None


def test_wrong_address_and_signature_stand_beside_the_field(chain: Chain, owner: Person) -> None:
    answer = owner.client.post(PAGE + "message/", {"chain": "sandbox", "address": "0x12"})
    assert answer.status_code == 422
    assert answer.context["link_form"].errors["address"]
    answer = owner.client.post(PAGE + "link/", {"message": "x", "signature": "y"})
    assert answer.status_code == 422
    assert answer.context["sign_form"].errors["message"]
    answer = owner.client.post(PAGE + "faucet/", {"chain": "polygon", "address": "0x12"})
    assert answer.status_code == 422


def test_faucet_deposit_and_history(chain: Chain, owner: Person, organisation: Organisation) -> None:
    deposits.scan("sandbox")
    mine = Wallet()
    LinkedWallet.objects.create(organisation=organisation, address=mine.address)
    answer = owner.client.post(PAGE + "faucet/", {"chain": "sandbox", "address": mine.address})
    assert answer.status_code == 302
    assert chain.usdc_of(mine.address) == 1000
    chain.pay(mine, nodes.treasury(), "12.345678")
    deposits.scan("sandbox")
    fragment = owner.client.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert "12.345678" in fragment
    assert "Seen on the chain" in fragment
    chain.finalize()
    deposits.scan("sandbox")
    assert "12.35 USDC" in owner.client.get("/billing/").content.decode()
    listed = owner.api("get", "wallets/deposits").json()["items"]
    assert [(row["status"], row["amount"]["amount"]) for row in listed] == [("credited", "12.345678")]
    balances = {
        row["currency"]: row["available"]["amount"] for row in owner.api("get", "wallets/balance").json()["items"]
    }
    assert balances["USDC"] == "12.345678"


def test_withdraw_by_the_form_and_call_off(chain: Chain, owner: Person, organisation: Organisation) -> None:
    fund(organisation, "100", "USDC")
    body = {"chain": "sandbox", "address": Wallet().address, "amount": "40", "token": uuid4().hex}
    for _ in range(2):  # sent twice
        assert owner.client.post(PAGE + "withdraw/", body).status_code == 302
    withdrawal = Withdrawal.objects.get()
    page = owner.client.get(PAGE).content.decode()
    assert re.search(r"60\.0+ USDC", page)
    assert owner.client.post(f"{PAGE}withdrawals/{withdrawal.public_id}/cancel/").status_code == 302
    withdrawal.refresh_from_db()
    assert withdrawal.status == "cancelled"
    assert wallet.balance(organisation, "USDC").available == 100
    answer = owner.client.post(PAGE + "withdraw/", {**body, "amount": "1000", "token": uuid4().hex})
    assert answer.status_code == 422
    assert answer.context["withdraw_form"].non_field_errors()


def test_withdraw_by_the_api(chain: Chain, owner: Person, viewer: Person, organisation: Organisation) -> None:
    fund(organisation, "100", "USDC")
    body = {"chain": "sandbox", "address": Wallet().address, "amount": "40"}
    assert viewer.api("post", "wallets/withdraw", body, {"Idempotency-Key": "a"}).status_code == 403
    first = owner.api("post", "wallets/withdraw", body, {"Idempotency-Key": "a"})
    assert first.status_code == 201, first.content
    assert owner.api("post", "wallets/withdraw", body, {"Idempotency-Key": "a"}).json() == first.json()
    assert Withdrawal.objects.count() == 1
    id = first.json()["id"]
    assert owner.api("get", f"wallets/withdrawals/{id}").json()["status"] == "waiting"
    assert [row["id"] for row in owner.api("get", "wallets/withdrawals").json()["items"]] == [id]
    assert owner.api("post", "wallets/withdraw", {**body, "amount": "61"}, {"Idempotency-Key": "b"}).status_code == 402
    assert owner.api("post", f"wallets/withdrawals/{id}/cancel").json()["status"] == "cancelled"
    assert owner.api("post", f"wallets/withdrawals/{id}/cancel").status_code == 409


def test_page_of_somebody_who_may_not_see_billing(chain: Chain, viewer: Person) -> None:
    assert viewer.client.get(PAGE).status_code == 403


def test_staff_claim_approve_resolve(
    chain: Chain, treasury: str, owner: Person, staff: Person, organisation: Organisation
) -> None:
    deposits.scan("sandbox")
    stranger = Wallet()
    chain.fund(stranger)
    chain.pay(stranger, treasury, "7")
    chain.finalize()
    deposits.scan("sandbox")
    deposit = Deposit.objects.get()
    admin = "/admin/billing/"
    answer = staff.client.post(f"{admin}deposit/{deposit.pk}/change/", {"organisation": str(organisation.pk)})
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    assert wallet.balance(organisation, "USDC").available == 7
    assert staff.client.post(f"{admin}deposit/{deposit.pk}/change/", {}).status_code == 403
    fund(organisation, "5000", "USDC")
    body = {"chain": "sandbox", "address": Wallet().address, "amount": "3000"}
    owner.api("post", "wallets/withdraw", body, {"Idempotency-Key": "a"})
    row = Withdrawal.objects.get()
    staff.client.post(f"{admin}withdrawal/", {"action": "approve", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.approved_by == staff.user
    alarm = ChainAlarm.objects.create(chain="sandbox", kind="stuck", subject=row.public_id)
    staff.client.post(f"{admin}chainalarm/", {"action": "mark_resolved", "_selected_action": [str(alarm.pk)]})
    alarm.refresh_from_db()
    assert alarm.resolved_by == staff.user


def test_admin_lists(chain: Chain, treasury: str, payer: Any, staff: Person) -> None:
    deposits.scan("sandbox")
    assert ChainCursor.objects.exists()
    for model in (
        "deposit",
        "withdrawal",
        "withdrawalattempt",
        "chainalarm",
        "chaincursor",
        "linkedwallet",
        "linknonce",
    ):
        assert staff.client.get(f"/admin/billing/{model}/").status_code == 200, model
        assert staff.client.get(f"/admin/billing/{model}/add/").status_code == 403, model
