"""Stripe Connect in the words of `payments/base.py`: an owner's account is an Express account, a payout is a transfer.

A transfer reaches the owner's balance at Stripe at once; Stripe pays their bank from there. What their bank sends back
stays theirs, in that balance: we hear of it as an event of their account, and the transfer remains paid. Only a
reversal, which somebody of ours makes, brings money of a transfer back.
"""

from __future__ import annotations

from typing import Any

import stripe

from billing.payments.base import Gone, NewPayout, PayeeAccount, PayoutState, Refused, RemotePayout, ServiceDown
from billing.payments.stripe.client import cents, dollars, once, plain, understand

Body = dict[str, Any]


class StripePayees:
    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def open_payee(self, *, reference: str, email: str, country: str, request_id: str) -> str:
        body: Any = {
            "type": "express",
            "country": country,
            "email": email,
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"payee": reference},
        }
        return understand(lambda: str(plain(self._api.accounts.create(body, once(request_id)))["id"]))

    def onboarding_url(self, ref: str, *, return_url: str, refresh_url: str) -> str:
        body: Any = {
            "account": ref,
            "type": "account_onboarding",
            "return_url": return_url,
            "refresh_url": refresh_url,
        }
        url = understand(lambda: str(plain(self._api.account_links.create(body))["url"]))
        if not url.startswith(("https://", "http://")):
            raise ServiceDown("an account link that is no address")
        return url

    def fetch_payee(self, ref: str) -> PayeeAccount:
        return understand(lambda: _read_payee(plain(self._api.accounts.retrieve(ref))))


class StripePayouts:
    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def send_payout(self, payout: NewPayout) -> RemotePayout:
        """Stripe knows a repetition by its key for a day only: what is there already by our name is looked up first."""
        wanted: Any = {"transfer_group": payout.reference, "limit": 1}
        found = understand(lambda: plain(self._api.transfers.list(wanted))["data"])
        sent = found[0] if found else self._transfer(payout)
        if not understand(lambda: _is_this(payout, sent)):
            raise ServiceDown(f"another transfer has the name {payout.reference}")
        return understand(lambda: _read_transfer(sent))

    def _transfer(self, payout: NewPayout) -> Body:
        body: Any = {
            "amount": cents(payout.amount),
            "currency": payout.currency.lower(),
            "destination": payout.destination,
            "description": payout.note[:127],
            "transfer_group": payout.reference,
            "metadata": {"payout": payout.reference},
        }
        key = once(f"payout-{payout.reference}")
        try:
            return understand(lambda: plain(self._api.transfers.create(body, key)))
        except Gone:
            raise Refused("no_such_account") from None

    def fetch_payout(self, ref: str) -> RemotePayout:
        return understand(lambda: _read_transfer(plain(self._api.transfers.retrieve(ref))))


def _read_payee(body: Body) -> PayeeAccount:
    """`past_due` is part of `currently_due`, but for an account that Stripe has just switched off."""
    wanted = body["requirements"] or {}
    missing = [*(wanted.get("currently_due") or ()), *(wanted.get("past_due") or ())]
    return PayeeAccount(
        ref=str(body["id"]),
        ready=bool(body["payouts_enabled"]) and body["capabilities"].get("transfers") == "active",
        missing=tuple(sorted({str(name) for name in missing})),
    )


def _is_this(payout: NewPayout, body: Body) -> bool:
    given = (body["amount"], body["currency"], body["destination"])
    return given == (cents(payout.amount), payout.currency.lower(), payout.destination)


def _read_transfer(body: Body) -> RemotePayout:
    """Reversed in part it stays paid: `returned` says how much of it came back."""
    state: PayoutState = "returned" if body["reversed"] else "paid"
    return RemotePayout(
        ref=str(body["id"]),
        reference=str(body["transfer_group"] or ""),
        state=state,
        amount=dollars(body["amount"]),
        currency=str(body["currency"]).upper(),
        reason="reversed" if body["amount_reversed"] else "",
        returned=dollars(body["amount_reversed"]),
    )
