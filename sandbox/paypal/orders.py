"""Orders: CREATED → APPROVED (by the payer, on the approve page) → COMPLETED (by a capture)."""

from __future__ import annotations

import secrets
import time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from sandbox.paypal.errors import Problem
from sandbox.paypal.money import check_breakdown, fee, money, read_amount
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
LONGEST = {"reference_id": 256, "description": 127, "custom_id": 127, "invoice_id": 127, "soft_descriptor": 22}
# Letters and digits that cannot be taken for each other, as PayPal writes such ids.
PAYER_ID = "SANDB2XBUYER2"
PAYER: Document = {
    "name": {"given_name": "Sandbox", "surname": "Buyer"},
    "email_address": "sandbox-buyer@example.com",
    "payer_id": PAYER_ID,
    "address": {"country_code": "US"},
}
CAPTURES_WAIT = "captures_wait"  # set while captures are for the payer's bank to allow
MERCHANT = {"email_address": "sandbox-merchant@example.com", "merchant_id": "SANDB2XSH2P22"}


def new_id() -> str:
    """Seventeen letters and digits, as PayPal's."""
    return "".join(secrets.choice(LETTERS) for _ in range(17))


def link(url: str, path: str, rel: str, method: str = "GET") -> dict[str, str]:
    return {"href": f"{url}{path}", "rel": rel, "method": method}


def create(store: Store, body: dict[str, Any], url: str) -> Document:
    """A new order from a create request. Raises Problem."""
    intent = body.get("intent")
    if intent is None:
        raise Problem(400, "MISSING_REQUIRED_PARAMETER", field="/intent")
    if intent != "CAPTURE":
        raise Problem(400, "INVALID_PARAMETER_VALUE", field="/intent", value=str(intent))
    units = _read_units(body.get("purchase_units"))
    context, wallet = _read_context(body)
    for name in ("return_url", "cancel_url"):
        check_url(context.get(name), f"/application_context/{name}")
    order_id = new_id()
    path = f"/v2/checkout/orders/{order_id}"
    order: Document = {
        "id": order_id,
        "intent": "CAPTURE",
        "status": "PAYER_ACTION_REQUIRED" if wallet else "CREATED",
        "purchase_units": units,
        "create_time": rfc3339(time.time()),
        "links": [
            link(url, path, "self"),
            link(url, f"/checkoutnow?token={order_id}", "payer-action" if wallet else "approve"),
            link(url, f"{path}/capture", "capture", "POST"),
        ],
    }
    if wallet:
        order["payment_source"] = {"paypal": {}}
    store.put("order", order_id, order)
    store.put("context", order_id, context)
    return order


def _read_units(units: Any) -> list[Document]:
    if not units:
        raise Problem(400, "MISSING_REQUIRED_PARAMETER", field="/purchase_units")
    if not isinstance(units, list) or len(units) > 10 or not all(isinstance(unit, dict) for unit in units):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field="/purchase_units")
    read = [_read_unit(unit, f"/purchase_units/@{number}") for number, unit in enumerate(units)]
    names = [unit["reference_id"] for unit in read]
    if len(set(names)) < len(names):
        raise Problem(422, "DUPLICATE_REFERENCE_ID", field="/purchase_units")
    return read


def _read_unit(unit: dict[str, Any], field: str) -> Document:
    amount = unit.get("amount")
    value = read_amount(amount, f"{field}/amount")
    assert isinstance(amount, dict)
    check_breakdown(amount, f"{field}/amount")
    read: Document = {"reference_id": "default", "amount": {**amount, **money(value)}, "payee": MERCHANT}
    for name, longest in LONGEST.items():
        if name in unit:
            text = unit[name]
            if not isinstance(text, str) or not 1 <= len(text) <= longest:
                raise Problem(400, "INVALID_STRING_LENGTH", field=f"{field}/{name}", value=str(text))
            read[name] = text
    if "items" in unit:
        read["items"] = unit["items"]
    return read


def _read_context(body: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """(where the payer is sent back to, whether it came by `payment_source.paypal`)."""
    source = body.get("payment_source")
    if isinstance(source, dict) and isinstance(source.get("paypal"), dict):
        context = source["paypal"].get("experience_context", {})
        wallet = True
    else:
        context, wallet = body.get("application_context", {}), False
    if not isinstance(context, dict):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field="/application_context")
    return context, wallet


def check_url(url: Any, field: str) -> None:
    """People are sent there by a redirect: only a web address will do."""
    if url is None:
        return
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field=field, value=str(url))


def find(store: Store, id: str) -> Document:
    order = store.get("order", id)
    if order is None:
        raise Problem(404, "INVALID_RESOURCE_ID")
    return order


def is_open(order: Document) -> bool:
    return order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED")


def approve(store: Store, order: Document) -> Document:
    """The payer has agreed. The caller has checked that the order is open."""
    approved = {
        **order,
        "status": "APPROVED",
        "payer": PAYER,
        "payment_source": {
            "paypal": {
                "email_address": PAYER["email_address"],
                "account_id": PAYER_ID,
                "account_status": "VERIFIED",
                "name": PAYER["name"],
                "address": PAYER["address"],
            }
        },
        "update_time": rfc3339(time.time()),
        "links": [link_ for link_ in order["links"] if link_["rel"] not in ("approve", "payer-action")],
    }
    store.put("order", order["id"], approved)
    return approved


def check_capturable(store: Store, order: Document) -> None:
    if order["status"] == "COMPLETED":
        raise Problem(422, "ORDER_ALREADY_CAPTURED")
    if order["status"] != "APPROVED":
        raise Problem(422, "ORDER_NOT_APPROVED")
    used = {capture.get("invoice_id") for capture in store.all("capture")} - {None}
    if any(unit.get("invoice_id") in used for unit in order["purchase_units"]):
        raise Problem(422, "DUPLICATE_INVOICE_ID")


def capture(store: Store, order: Document, url: str) -> Document:
    """Take the money of an approved order: one capture for each purchase unit."""
    units = []
    for unit in order["purchase_units"]:
        made = _make_capture(order, unit, url)
        if store.value(CAPTURES_WAIT):
            made |= {"status": "PENDING", "status_details": {"reason": "ECHECK"}}
        store.put("capture", made["id"], made)
        units.append({**unit, "payments": {"captures": [_without_order(made)]}})
    completed = {
        **order,
        "status": "COMPLETED",
        "purchase_units": units,
        "update_time": rfc3339(time.time()),
        "links": [link(url, f"/v2/checkout/orders/{order['id']}", "self")],
    }
    store.put("order", order["id"], completed)
    return completed


def settle(store: Store, capture: Document, status: str) -> Document:
    """The payer's bank has answered: a pending capture is paid or declined, here and in its order."""
    settled = {name: value for name, value in capture.items() if name != "status_details"} | {"status": status}
    store.put("capture", capture["id"], settled)
    order = find(store, capture["supplementary_data"]["related_ids"]["order_id"])
    for unit in order["purchase_units"]:
        shown = unit["payments"]["captures"]
        unit["payments"]["captures"] = [_without_order(settled) if row["id"] == capture["id"] else row for row in shown]
    store.put("order", order["id"], order)
    return settled


def _make_capture(order: Document, unit: Document, url: str) -> Document:
    id, now = new_id(), rfc3339(time.time())
    amount = Decimal(unit["amount"]["value"])
    path = f"/v2/payments/captures/{id}"
    made: Document = {
        "id": id,
        "status": "COMPLETED",
        "amount": money(amount),
        "final_capture": True,
        "disbursement_mode": "INSTANT",
        "seller_protection": {
            "status": "ELIGIBLE",
            "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"],
        },
        "seller_receivable_breakdown": {
            "gross_amount": money(amount),
            "paypal_fee": money(fee(amount)),
            "net_amount": money(amount - fee(amount)),
        },
        "supplementary_data": {"related_ids": {"order_id": order["id"]}},
        "payee": MERCHANT,
        "create_time": now,
        "update_time": now,
        "links": [
            link(url, path, "self"),
            link(url, f"{path}/refund", "refund", "POST"),
            link(url, f"/v2/checkout/orders/{order['id']}", "up"),
        ],
    }
    return made | {name: unit[name] for name in ("custom_id", "invoice_id") if name in unit}


def _without_order(made: Document) -> Document:
    return {name: value for name, value in made.items() if name not in ("supplementary_data", "payee")}
