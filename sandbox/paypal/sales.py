"""Sales: what was collected for a subscription, in the words of the older Payments v1; and their refunds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.paypal import clock
from sandbox.paypal.errors import Problem
from sandbox.paypal.money import fee, money, read_amount
from sandbox.paypal.orders import PAYER, link, new_id
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

STATES = {
    "completed": "COMPLETED",
    "partially_refunded": "PARTIALLY_REFUNDED",
    "refunded": "REFUNDED",
    "denied": "DECLINED",
    "pending": "PENDING",
}


def create(
    store: Store, subscription: str, amount: Decimal, at: float, url: str, *, state: str = "completed"
) -> Document:
    id = new_id()
    sale: Document = {
        "id": id,
        "state": state,
        "amount": total(amount),
        "payment_mode": "INSTANT_TRANSFER",
        "protection_eligibility": "ELIGIBLE",
        "transaction_fee": {"value": f"{fee(amount):.2f}", "currency": "USD"},
        "billing_agreement_id": subscription,
        "create_time": rfc3339(at),
        "update_time": rfc3339(at),
        "links": [
            link(url, f"/v1/payments/sale/{id}", "self"),
            link(url, f"/v1/payments/sale/{id}/refund", "refund", "POST"),
        ],
    }
    store.put("sale", id, sale)
    return sale


def of(store: Store, subscription: str) -> list[Document]:
    return [sale for sale in store.all("sale") if sale["billing_agreement_id"] == subscription]


def refund(store: Store, sale: Document, body: dict[str, Any], url: str) -> Document:
    """Give back `amount`, or all that is left. Raises Problem."""
    taken = Decimal(sale["amount"]["total"])
    back = [each for each in store.all("sale_refund") if each["sale_id"] == sale["id"]]
    left = taken - sum((Decimal(each["amount"]["total"]) for each in back), Decimal(0))
    if sale["state"] in ("denied", "pending") or not left:
        raise Problem(400, "TRANSACTION_ALREADY_REFUNDED")
    amount = _wanted(body, left)
    id, now = new_id(), rfc3339(clock.now(store))
    kept = {name: body[name] for name in ("invoice_number", "description") if isinstance(body.get(name), str)}
    made: Document = {
        "id": id,
        "state": "completed",
        "amount": total(amount),
        "sale_id": sale["id"],
        **kept,
        "create_time": now,
        "update_time": now,
        "links": [
            link(url, f"/v1/payments/refund/{id}", "self"),
            link(url, f"/v1/payments/sale/{sale['id']}", "sale"),
        ],
    }
    store.put("sale_refund", id, made)
    state = "refunded" if amount == left else "partially_refunded"
    store.put("sale", sale["id"], {**sale, "state": state, "update_time": now})
    return made


def _wanted(body: dict[str, Any], left: Decimal) -> Decimal:
    given = body.get("amount")
    if given is None:
        return left
    if not isinstance(given, dict):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field="/amount")
    amount = read_amount({"currency_code": given.get("currency"), "value": given.get("total")}, "/amount")
    if amount > left:
        raise Problem(400, "REFUND_EXCEEDED_TRANSACTION_AMOUNT", field="/amount/total", value=str(given["total"]))
    return amount


def total(amount: Decimal) -> dict[str, str]:
    """In Payments v1 `total` and `currency`."""
    return {"total": f"{amount:.2f}", "currency": "USD"}


def as_transaction(sale: Document) -> Document:
    """As the subscription lists it."""
    amount = Decimal(sale["amount"]["total"])
    return {
        "id": sale["id"],
        "status": STATES[sale["state"]],
        "amount_with_breakdown": {
            "gross_amount": money(amount),
            "fee_amount": money(fee(amount)),
            "net_amount": money(amount - fee(amount)),
        },
        "payer_name": PAYER["name"],
        "payer_email": PAYER["email_address"],
        "time": sale["create_time"],
    }
