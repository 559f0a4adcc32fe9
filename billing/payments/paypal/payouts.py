"""PayPal's payouts in the words of `payments/base.py`: each is a batch of one, so that a failure touches one owner.

PayPal pays a `sender_batch_id`, which is our reference, once in 30 days: the same one again is refused with the address
of the first, which is how a lost answer is found. What has no answer for longer is not asked for again: a person looks.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from billing.payments.base import NewPayout, PayoutState, RemotePayout, Unclear
from billing.payments.paypal.client import PayPalApi, PayPalError, read_sum, understand
from lib.clock import now
from lib.money import round_for_payment

PAYOUTS, ITEMS = "v1/payments/payouts", "v1/payments/payouts-item"
DUPLICATE = "USER_BUSINESS_ERROR"
SUBJECT = "GPUBroker has paid you"
LONGEST_NOTE = 1000
REMEMBERED = timedelta(days=29)  # a day less than PayPal's thirty
# `UNCLAIMED`: it waits for the owner to open an account, and comes back after 30 days.
STATE: dict[str, PayoutState] = {
    "PENDING": "pending",
    "ONHOLD": "pending",
    "UNCLAIMED": "pending",
    "SUCCESS": "paid",
    "FAILED": "failed",
    "BLOCKED": "failed",
    "RETURNED": "returned",
    "REFUNDED": "returned",
    "REVERSED": "returned",
}
NOT_PAID_BATCHES = {"DENIED", "CANCELED"}


class PayPalPayouts:
    def __init__(self, api: PayPalApi) -> None:
        self._api = api

    def send_payout(self, payout: NewPayout) -> RemotePayout:
        """PayPal answers before it has paid: the state is `pending` unless the payout had been sent before."""
        return understand(lambda: self._send(payout))

    def fetch_payout(self, ref: str) -> RemotePayout:
        """By the id of the batch, or of its item."""
        return understand(lambda: _read(self._find(ref)))

    def _send(self, payout: NewPayout) -> RemotePayout:
        if payout.first_asked is not None and payout.first_asked < now() - REMEMBERED:
            raise Unclear("PayPal no longer knows whether it has paid this: look for it there")
        try:
            made = self._api.tell(PAYOUTS, _body(payout), request_id=f"payout-{payout.reference}")
        except PayPalError as error:
            ref = _first_batch(error)
            if not ref and error.name == DUPLICATE:
                raise Unclear("PayPal has this payout, and does not say where") from error
            if not ref:
                raise
            return _same(payout, self._ask(ref))
        ref = str(made["batch_header"]["payout_batch_id"])
        return RemotePayout(ref, payout.reference, "pending", payout.amount, payout.currency)

    def _find(self, ref: str) -> dict[str, Any]:
        try:
            return self._ask(ref)
        except PayPalError as error:
            if error.status != 404:
                raise
        return self._ask(str(self._api.ask(f"{ITEMS}/{quote(ref, safe='')}")["payout_batch_id"]))

    def _ask(self, ref: str) -> dict[str, Any]:
        return self._api.ask(f"{PAYOUTS}/{quote(ref, safe='')}")


def _body(payout: NewPayout) -> dict[str, Any]:
    item = {
        "recipient_type": "EMAIL" if "@" in payout.destination else "PAYPAL_ID",
        "receiver": payout.destination,
        "amount": {"currency": payout.currency, "value": f"{round_for_payment(payout.amount, payout.currency):f}"},
        "note": payout.note[:LONGEST_NOTE],
        "sender_item_id": payout.reference,
    }
    return {"sender_batch_header": {"sender_batch_id": payout.reference, "email_subject": SUBJECT}, "items": [item]}


def _first_batch(error: PayPalError) -> str:
    """The batch that was made of the same reference before; empty when this is another refusal."""
    paths = (urlsplit(address).path.strip("/").rpartition("/") for address in error.about)
    return next((ref for folder, _slash, ref in paths if folder == PAYOUTS), "")


def _same(payout: NewPayout, body: dict[str, Any]) -> RemotePayout:
    found, receiver = _read(body), body["items"][0]["payout_item"]["receiver"]
    wanted = (payout.reference, payout.amount, payout.currency, payout.destination)
    if (found.reference, found.amount, found.currency, receiver) != wanted:
        raise Unclear("another payout under this reference")
    return found


def _read(body: dict[str, Any]) -> RemotePayout:
    header, (item,) = body["batch_header"], body["items"]
    amount = item["payout_item"]["amount"]
    state = "failed" if header["batch_status"] in NOT_PAID_BATCHES else STATE[item["transaction_status"]]
    sum_ = read_sum(amount["value"])
    return RemotePayout(
        ref=str(header["payout_batch_id"]),
        reference=str(header["sender_batch_header"].get("sender_batch_id", "")),
        state=state,
        amount=sum_,
        currency=str(amount["currency"]),
        reason=str((item.get("errors") or {}).get("name", ""))[:64],
        returned=sum_ if state == "returned" else Decimal(0),
    )
