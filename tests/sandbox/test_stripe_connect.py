"""Stripe: disputes, owners' accounts, transfers, payouts, and the balance that all of it adds up to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import RunningPeer
from tests.sandbox.merchant import Merchant


@pytest.fixture
def merchant(shared_peer: Callable[[str], RunningPeer]) -> Merchant:
    return Merchant(shared_peer("stripe"))


def balance(merchant: Merchant, account: str = "") -> int:
    options = {"stripe_account": account} if account else None
    return int(merchant.api.balance.retrieve({}, options).available[0].amount)


class TestDispute:
    def test_a_card_that_is_disputed(self, merchant: Merchant) -> None:
        charge = merchant.pay("pm_card_createDispute", 2500).latest_charge
        dispute = merchant.api.disputes.list({"charge": charge}).data[0]
        assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 2500)
        assert balance(merchant) == 2500 - 103 - 2500 - 1500
        with merchant.refused(stripe.InvalidRequestError, "charge_disputed"):
            merchant.api.refunds.create({"charge": charge})

    def test_evidence_wins_it(self, merchant: Merchant) -> None:
        charge = merchant.pay("pm_card_createDispute", 2500).latest_charge
        dispute = merchant.api.disputes.list({"charge": charge}).data[0]
        update = merchant.api.disputes.update
        staged = update(dispute.id, {"evidence": {"customer_name": "Ana"}, "submit": False})
        assert (staged.status, staged.evidence_details.submission_count) == ("needs_response", 0)
        sent = update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
        assert (sent.status, sent.evidence.customer_name) == ("under_review", "Ana")
        assert merchant.api.disputes.retrieve(dispute.id).status == "won"
        assert balance(merchant) == 2500 - 103 - 1500
        assert merchant.events("charge.dispute.closed", "charge.dispute.funds_reinstated") == [
            "charge.dispute.funds_reinstated",
            "charge.dispute.closed",
        ]

    @pytest.mark.parametrize("how", ["evidence", "close", "knob"])
    def test_lost(self, merchant: Merchant, how: str) -> None:
        charge = merchant.pay(amount=2500).latest_charge
        opened = merchant.peer.post("/sandbox/disputes", json={"charge": charge, "reason": "duplicate"}).json()
        if how == "evidence":
            merchant.api.disputes.update(opened["id"], {"evidence": {"uncategorized_text": "losing_evidence"}})
        elif how == "close":
            merchant.api.disputes.close(opened["id"])
        else:
            merchant.peer.post(f"/sandbox/disputes/{opened['id']}/lost")
        assert merchant.api.disputes.retrieve(opened["id"]).status == "lost"
        with merchant.refused(stripe.InvalidRequestError, "dispute_already_closed"):
            merchant.api.disputes.close(opened["id"])
        assert merchant.peer.post("/sandbox/disputes", json={"charge": charge}).status_code == 400

    def test_a_bank_that_only_asks(self, merchant: Merchant) -> None:
        """It takes nothing, and the payment may be refunded, until it is not content with the answer."""
        charge = merchant.pay(amount=2500).latest_charge
        asked = merchant.peer.post("/sandbox/disputes", json={"charge": charge, "inquiry": True}).json()
        assert (asked["status"], asked["balance_transactions"]) == ("warning_needs_response", [])
        assert balance(merchant) == 2500 - 103
        sent = merchant.api.disputes.update(asked["id"], {"evidence": {"customer_name": "Ana"}})
        assert sent.status == "warning_under_review"
        merchant.api.refunds.create({"charge": charge, "amount": 500})
        grown = merchant.peer.post(f"/sandbox/disputes/{asked['id']}/escalate").json()
        assert (grown["status"], len(grown["balance_transactions"])) == ("needs_response", 1)
        assert merchant.peer.post(f"/sandbox/disputes/{asked['id']}/close").status_code == 400
        other = merchant.pay(amount=2500).latest_charge
        asked = merchant.peer.post("/sandbox/disputes", json={"charge": other, "inquiry": True}).json()
        assert merchant.peer.post(f"/sandbox/disputes/{asked['id']}/close").json()["status"] == "warning_closed"


class TestOwner:
    @pytest.fixture
    def account(self, merchant: Merchant) -> Any:
        body = {"type": "express", "country": "US", "email": "owner@example.com"}
        return merchant.api.accounts.create({**body, "capabilities": {"transfers": {"requested": True}}})

    def link(self, merchant: Merchant, account: Any) -> str:
        urls = {"refresh_url": "http://127.0.0.1:9/again", "return_url": "http://127.0.0.1:9/done"}
        body = {"account": account.id, "type": "account_onboarding", **urls}
        return str(merchant.api.account_links.create(body).url)

    def test_is_taken_in(self, merchant: Merchant, account: Any) -> None:
        assert (account.payouts_enabled, bool(account.requirements.currently_due)) == (False, True)
        url = self.link(merchant, account)
        assert "owner@example.com" in requests.get(url, timeout=5).text
        answer = requests.post(url, data={"action": "complete"}, allow_redirects=False, timeout=5)
        assert answer.headers["location"] == "http://127.0.0.1:9/done"
        assert requests.get(url, timeout=5).status_code == 404
        account = merchant.api.accounts.retrieve(account.id)
        assert (account.payouts_enabled, account.capabilities.transfers) == (True, "active")
        assert merchant.events("account.updated") == ["account.updated"]

    def test_is_paid_back_and_forth(self, merchant: Merchant, account: Any) -> None:
        merchant.pay(amount=10_000)
        api = merchant.api
        send = {"amount": 8500, "currency": "usd", "destination": account.id}
        with merchant.refused(stripe.InvalidRequestError, "insufficient_capabilities_for_transfer"):
            api.transfers.create(send)
        requests.post(self.link(merchant, account), data={"action": "complete"}, timeout=5, allow_redirects=False)
        sent = api.transfers.create({**send, "transfer_group": "week-1"})
        with merchant.refused(stripe.InvalidRequestError, "balance_insufficient"):
            api.transfers.create(send)
        api.transfers.reversals.create(sent.id, {"amount": 500})
        with merchant.refused(stripe.InvalidRequestError):
            api.transfers.reversals.create(sent.id, {"amount": 8001})
        assert api.transfers.retrieve(sent.id).amount_reversed == 500
        assert (balance(merchant), balance(merchant, account.id)) == (10_000 - 320 - 8000, 8000)

    def test_is_paid_out_and_the_bank_may_refuse(self, merchant: Merchant, account: Any) -> None:
        merchant.pay(amount=10_000)
        requests.post(self.link(merchant, account), data={"action": "complete"}, timeout=5, allow_redirects=False)
        merchant.api.transfers.create({"amount": 5000, "currency": "usd", "destination": account.id})
        options, body = {"stripe_account": account.id}, {"amount": 2000, "currency": "usd"}
        payouts = merchant.api.payouts
        first, second = (payouts.create(body, options) for _ in range(2))
        with merchant.refused(stripe.InvalidRequestError, "balance_insufficient"):
            payouts.create(body, options)
        assert payouts.cancel(first.id, {}, options).status == "canceled"
        assert merchant.peer.post(f"/sandbox/payouts/{second.id}/paid").json()["status"] == "paid"
        assert balance(merchant, account.id) == 3000
        failed = merchant.peer.post(f"/sandbox/payouts/{second.id}/fail").json()
        assert (failed["status"], failed["failure_code"]) == ("failed", "account_closed")
        assert balance(merchant, account.id) == 5000
        with merchant.refused(stripe.InvalidRequestError, "resource_missing"):
            payouts.retrieve(first.id)

    def test_only_where_stripe_pays(self, merchant: Merchant) -> None:
        with merchant.refused(stripe.InvalidRequestError):
            merchant.api.accounts.create({"type": "express", "country": "EC"})

    def test_has_money_of_its_own_and_nothing_else(self, merchant: Merchant, account: Any) -> None:
        with merchant.refused(stripe.InvalidRequestError):
            merchant.api.customers.list({}, {"stripe_account": account.id})
        with pytest.raises(stripe.PermissionError):
            merchant.api.balance.retrieve({}, {"stripe_account": "acct_other"})


def test_the_balance_is_the_sum_of_its_movements(merchant: Merchant) -> None:
    paid = merchant.pay(amount=5000)
    merchant.api.refunds.create({"payment_intent": paid.id, "amount": 1000})
    merchant.api.payouts.create({"amount": 700, "currency": "usd"})
    rows = list(merchant.api.balance_transactions.list({"limit": 2}).auto_paging_iter())
    assert [(row.type, row.amount, row.fee, row.net) for row in rows] == [
        ("payout", -700, 0, -700),
        ("refund", -1000, 0, -1000),
        ("charge", 5000, 175, 4825),
    ]
    assert balance(merchant) == 3125
