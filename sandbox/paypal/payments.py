"""Captures and their refunds: never more goes back than came in."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from sandbox.paypal.errors import Problem
from sandbox.paypal.money import money, read_amount
from sandbox.paypal.orders import MERCHANT, link, new_id
from sandbox.store import Document, Store
from sandbox.workload import rfc3339


def find_capture(store: Store, id: str) -> Document:
    capture = store.get("capture", id)
    if capture is None:
        raise Problem(404, "INVALID_RESOURCE_ID")
    return capture


def find_refund(store: Store, id: str) -> Document:
    refund = store.get("refund", id)
    if refund is None:
        raise Problem(404, "INVALID_RESOURCE_ID")
    return refund


def refunded(store: Store, capture_id: str) -> Decimal:
    """What has gone back of a capture so far."""
    back = (refund for refund in store.all("refund") if _capture_id(refund) == capture_id)
    return sum((Decimal(refund["amount"]["value"]) for refund in back), Decimal(0))


def _capture_id(refund: Document) -> str:
    up = next(entry["href"] for entry in refund["links"] if entry["rel"] == "up")
    return str(up).rpartition("/")[2]


def refund(store: Store, capture: Document, body: dict[str, Any], url: str) -> Document:
    """Give back `amount`, or all that is left. Raises Problem."""
    taken, before = Decimal(capture["amount"]["value"]), refunded(store, capture["id"])
    if before >= taken:
        raise Problem(422, "CAPTURE_FULLY_REFUNDED")
    amount = _wanted(body, taken - before)
    made = _make_refund(capture, body, amount, before + amount, url)
    store.put("refund", made["id"], made)
    status = "REFUNDED" if before + amount == taken else "PARTIALLY_REFUNDED"
    changed = {**capture, "status": status, "update_time": rfc3339(time.time())}
    store.put("capture", capture["id"], changed)
    _tell_order(store, changed, made)
    return made


def _wanted(body: dict[str, Any], left: Decimal) -> Decimal:
    if "amount" not in body:
        return left
    try:
        amount = read_amount(body["amount"], "/amount")
    except Problem as problem:
        if problem.issue == "INVALID_CURRENCY_CODE":
            raise Problem(422, "REFUND_CAPTURE_CURRENCY_MISMATCH") from None
        raise
    if amount > left:
        raise Problem(422, "REFUND_AMOUNT_EXCEEDED", field="/amount/value", value=body["amount"]["value"])
    return amount


def _make_refund(capture: Document, body: dict[str, Any], amount: Decimal, total: Decimal, url: str) -> Document:
    id, now = new_id(), rfc3339(time.time())
    kept = {
        name: body[name] for name in ("custom_id", "invoice_id", "note_to_payer") if isinstance(body.get(name), str)
    }
    return {
        "id": id,
        "status": "COMPLETED",
        "amount": money(amount),
        **kept,
        # PayPal keeps its fee when a payment is given back.
        "seller_payable_breakdown": {
            "gross_amount": money(amount),
            "paypal_fee": money(Decimal(0)),
            "net_amount": money(amount),
            "total_refunded_amount": money(total),
        },
        "payer": MERCHANT,
        "create_time": now,
        "update_time": now,
        "links": [
            link(url, f"/v2/payments/refunds/{id}", "self"),
            link(url, f"/v2/payments/captures/{capture['id']}", "up"),
        ],
    }


def _tell_order(store: Store, capture: Document, made: Document) -> None:
    """The order shows its captures and refunds too."""
    order = store.get("order", capture["supplementary_data"]["related_ids"]["order_id"])
    if order is None:
        return
    for unit in order["purchase_units"]:
        for shown in unit["payments"]["captures"]:
            if shown["id"] == capture["id"]:
                shown |= {"status": capture["status"], "update_time": capture["update_time"]}
                unit["payments"].setdefault("refunds", []).append(made)
    store.put("order", order["id"], order)
