"""Balance transactions: each movement of money of the platform or a connected account, and what they add up to."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe.documents import new_id, shown
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import CURRENCY, one_of, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

KIND = "balance_transaction"
CATEGORIES = {
    "adjustment": "dispute",
    "payment": "charge",
    "payment_refund": "refund",
    "transfer_refund": "transfer_reversal",
    "refund_failure": "refund_failure",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
}
TYPES = "charge refund refund_failure adjustment transfer transfer_refund payment payment_refund payout payout_cancel payout_failure"


def fee_of(amount: int) -> int:
    """Stripe's share of a card payment: 2.9 % and 30 cents, in cents."""
    return min(amount, (amount * 29 + 500) // 1000 + 30)


def book(
    world: World,
    source: Document,
    type: str,
    amount: int,
    *,
    fee: int = 0,
    account: str = "",
    description: str | None = None,
    category: str = "",
) -> Document:
    """One movement; `amount` in cents, below zero when money leaves. In the sandbox it is available at once."""
    at = world.time_of(source.get("customer") or source.get("_customer"))
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": CURRENCY,
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return world.put(
        {
            "id": new_id("txn"),
            "object": KIND,
            "amount": amount,
            "available_on": at,
            "balance_type": "payments",
            "created": at,
            "currency": CURRENCY,
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": category or CATEGORIES.get(type, type),
            "source": source["id"],
            "status": "available",
            "type": type,
            "_account": account,
        }
    )


def available(world: World, account: str = "") -> int:
    return sum(entry["net"] for entry in world.all_of(KIND, account))


def check_available(world: World, amount: int, account: str = "") -> None:
    """Raises Problem when the balance does not suffice."""
    if available(world, account) < amount:
        raise Problem(
            "You have insufficient available funds in your Stripe account. Try adding funds directly to your available "
            "balance by creating Charges using the 4000000000000077 test card. "
            "See: https://stripe.com/docs/testing#available-balance",
            code="balance_insufficient",
        )


def show(call: Call) -> Document:
    amount = available(call.world, call.account)
    return {
        "object": "balance",
        "available": [{"amount": amount, "currency": CURRENCY, "source_types": {"card": amount}}],
        "connect_reserved": [{"amount": 0, "currency": CURRENCY}],
        "livemode": False,
        "pending": [{"amount": 0, "currency": CURRENCY, "source_types": {"card": 0}}],
    }


def retrieve(call: Call) -> Document:
    return shown(call.world.find(KIND, call.id))


ENDPOINTS = (
    Endpoint("GET", "/v1/balance", show),
    lister("/v1/balance_transactions", KIND, type=one_of(*TYPES.split()), source=text, currency=text),
    Endpoint("GET", "/v1/balance_transactions/{id}", retrieve),
)
