"""Payouts: batches of items. An item's receiver decides what becomes of it; later it may be claimed, or come back."""

from __future__ import annotations

import re
import secrets
import time
from decimal import Decimal
from typing import Any

from sandbox.paypal.errors import Problem
from sandbox.paypal.orders import LETTERS, link, new_id
from sandbox.store import Document, Store
from sandbox.wire import Json
from sandbox.workload import rfc3339

# So long PayPal remembers a sender_batch_id.
REMEMBERED_S = 30 * 86_400.0
MOST_ITEMS = 15_000
RECIPIENTS = ("EMAIL", "PHONE", "PAYPAL_ID")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")
FEE = Decimal("0.25")
SUCCESS, DENIED = "SUCCESS", "DENIED"
# What may become of an item: PayPal's name of the reason, and the event that tells of it.
OUTCOMES = {
    SUCCESS: ("", "PAYMENT.PAYOUTS-ITEM.SUCCEEDED"),
    "PENDING": ("", ""),
    "UNCLAIMED": ("RECEIVER_UNREGISTERED", "PAYMENT.PAYOUTS-ITEM.UNCLAIMED"),
    "ONHOLD": ("PENDING_RECIPIENT_NON_HOLDING_CURRENCY_PAYMENT_PREFERENCE", "PAYMENT.PAYOUTS-ITEM.HELD"),
    "FAILED": ("RECEIVER_ACCOUNT_LOCKED", "PAYMENT.PAYOUTS-ITEM.FAILED"),
    "BLOCKED": ("REGULATORY_BLOCKED", "PAYMENT.PAYOUTS-ITEM.BLOCKED"),
    "RETURNED": ("RECEIVER_UNREGISTERED", "PAYMENT.PAYOUTS-ITEM.RETURNED"),
    "REFUNDED": ("", "PAYMENT.PAYOUTS-ITEM.REFUNDED"),
    "REVERSED": ("", ""),
}
# Which of them an item may turn into later.
LATER = {
    "PENDING": {SUCCESS, "UNCLAIMED", "ONHOLD", "FAILED", "BLOCKED"},
    "UNCLAIMED": {SUCCESS, "RETURNED", "BLOCKED"},
    "ONHOLD": {SUCCESS, "RETURNED", "BLOCKED"},
    SUCCESS: {"REFUNDED", "REVERSED"},
}


class PayoutProblem(Problem):
    """A refusal in the older words of this API."""

    def __init__(self, name: str, message: str, issue: str, *, field: str = "", batch: str = "", status: int = 400):
        super().__init__(status, issue, field=field)
        self.name, self.message, self.batch = name, message, batch

    def answer(self) -> Json:
        detail: dict[str, Any] = {"issue": self.issue, "location": "body"}
        if self.field:
            detail["field"] = self.field
        if self.batch:
            detail["link"] = [{"href": self.batch, "rel": "self", "method": "GET", "encType": "application/json"}]
        body = {
            "name": self.name,
            "message": self.message,
            "debug_id": secrets.token_hex(7)[:13],
            "information_link": "https://developer.paypal.com/docs/api/payments.payouts-batch/#errors",
            "details": [detail],
            "links": [],
        }
        return Json(body, self.status)


def _wrong(field: str, issue: str) -> PayoutProblem:
    return PayoutProblem("VALIDATION_ERROR", "Invalid request - see details", issue, field=field)


def create(store: Store, body: dict[str, Any], url: str) -> Document:
    """Keep a batch and its items; both are still PENDING. Raises Problem."""
    header = body.get("sender_batch_header")
    if not isinstance(header, dict):
        raise _wrong("sender_batch_header", "Required field is missing")
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_ITEMS:
        raise _wrong("items", "Required field is missing or has too many entries")
    read = [_read_item(item, header, f"items[{number}]") for number, item in enumerate(items)]
    _check_new(store, header, url)
    id, now = short_id(), time.time()
    sums = sum((Decimal(item["amount"]["value"]) for item in read), Decimal(0))
    batch: Document = {
        "id": id,
        "at": now,
        "status": "PENDING",
        "header": {name: str(value) for name, value in header.items() if value is not None},
        "amount": money(sums),
        "items": [],
    }
    for item in read:
        item_id = short_id()
        batch["items"].append(item_id)
        store.put("payout_item", item_id, {"id": item_id, "batch": id, "status": "PENDING", "item": item, "cause": ""})
    store.put("payout_batch", id, batch)
    return batch


def _check_new(store: Store, header: dict[str, Any], url: str) -> None:
    """The same id again is refused, with a link to what was made of it. Without an id there is nothing to compare."""
    given, now = header.get("sender_batch_id"), time.time()
    if given is None:
        return
    if not isinstance(given, str) or len(given) > 256:
        raise _wrong("sender_batch_header.sender_batch_id", "Length is invalid")
    for batch in store.all("payout_batch"):
        if batch["header"].get("sender_batch_id") == given and now - batch["at"] < REMEMBERED_S:
            raise PayoutProblem(
                "USER_BUSINESS_ERROR",
                "User business error.",
                "Batch with given sender_batch_id already exists",
                field="SENDER_BATCH_ID",
                batch=f"{url}/v1/payments/payouts/{batch['id']}" if store.value("payouts_say_where", True) else "",
            )


def _read_item(item: Any, header: dict[str, Any], field: str) -> Document:
    if not isinstance(item, dict):
        raise _wrong(field, "Malformed request")
    kind = item.get("recipient_type") or header.get("recipient_type")
    if kind not in RECIPIENTS:
        raise _wrong(f"{field}.recipient_type", "Value is invalid")
    receiver = item.get("receiver")
    if not isinstance(receiver, str) or not 1 <= len(receiver) <= 127:
        raise _wrong(f"{field}.receiver", "Required field is missing")
    if kind == "EMAIL" and not EMAIL.fullmatch(receiver):
        raise _wrong(f"{field}.receiver", "Receiver is invalid or does not match with type")
    amount = item.get("amount")
    if not isinstance(amount, dict) or amount.get("currency") != "USD":
        raise _wrong(f"{field}.amount.currency", "Currency code is invalid or not supported")
    value = amount.get("value")
    if not isinstance(value, str) or not AMOUNT.fullmatch(value) or not Decimal(value):
        raise _wrong(f"{field}.amount.value", "Amount is invalid")
    kept = {name: item[name] for name in ("note", "sender_item_id") if isinstance(item.get(name), str)}
    shown = {
        "recipient_type": kind,
        "amount": money(Decimal(value)),
        "receiver": receiver,
        "recipient_wallet": "PAYPAL",
    }
    return shown | kept


def process(store: Store, batch: Document) -> list[str]:
    """PayPal works on a batch: what its receivers' items become. Returns the items of which something is to be told."""
    outcomes: Document = store.value("payout_outcomes", {})
    found = [find_item(store, id) for id in batch["items"]]
    fates = [outcomes.get(item["item"]["receiver"], SUCCESS) for item in found]
    if DENIED in fates:
        store.put("payout_batch", batch["id"], {**batch, "status": DENIED})
        for item in found:
            store.put("payout_item", item["id"], {**item, "status": "FAILED", "cause": "INSUFFICIENT_FUNDS"})
        return []
    for item, fate in zip(found, fates, strict=True):
        become(store, item, fate)
    done = "PENDING" not in fates
    store.put("payout_batch", batch["id"], {**batch, "status": SUCCESS if done else "PROCESSING"})
    return [item["id"] for item in found]


def become(store: Store, item: Document, status: str) -> Document:
    cause = OUTCOMES[status][0]
    changed = {**item, "status": status, "cause": cause, "processed": time.time()}
    changed.setdefault("transaction", new_id())
    store.put("payout_item", item["id"], changed)
    return changed


def find_batch(store: Store, id: str) -> Document:
    return _found(store.get("payout_batch", id))


def find_item(store: Store, id: str) -> Document:
    return _found(store.get("payout_item", id))


def _found(document: Document | None) -> Document:
    if document is None:
        message = "The requested resource was not found"
        raise PayoutProblem("INVALID_RESOURCE_ID", message, "Requested resource ID was not found.", status=404)
    return document


def cancel(store: Store, item: Document) -> Document:
    """Money that nobody has claimed comes back."""
    if item["status"] != "UNCLAIMED":
        message = "Item already cancelled" if item["status"] == "RETURNED" else "Item has been processed"
        raise PayoutProblem("ITEM_INCORRECT_STATUS", message, "Only an unclaimed item can be cancelled.")
    return become(store, item, "RETURNED")


# What callers are shown


def show_created(batch: Document, url: str) -> Document:
    header = {"payout_batch_id": batch["id"], "batch_status": batch["status"], "sender_batch_header": batch["header"]}
    return {"batch_header": header, "links": [link(url, f"/v1/payments/payouts/{batch['id']}", "self")]}


def show_batch(store: Store, batch: Document, url: str) -> Document:
    items = [show_item(find_item(store, id), batch, url) for id in batch["items"]]
    fees = FEE * sum(item["transaction_status"] == SUCCESS for item in items)
    header = {
        **show_created(batch, url)["batch_header"],
        "time_created": rfc3339(batch["at"]),
        "amount": batch["amount"],
        "fees": money(fees),
    }
    return {
        "total_items": len(items),
        "total_pages": 1,
        "batch_header": header,
        "items": items,
        "links": [link(url, f"/v1/payments/payouts/{batch['id']}", "self")],
    }


def show_item(item: Document, batch: Document, url: str) -> Document:
    shown: Document = {
        "payout_item_id": item["id"],
        "transaction_status": item["status"],
        "payout_item_fee": money(FEE if item["status"] == SUCCESS else Decimal(0)),
        "payout_batch_id": batch["id"],
        "payout_item": item["item"],
        "links": [
            link(url, f"/v1/payments/payouts-item/{item['id']}", "item"),
            link(url, f"/v1/payments/payouts/{batch['id']}", "batch"),
        ],
    }
    if "sender_batch_id" in batch["header"]:
        shown["sender_batch_id"] = batch["header"]["sender_batch_id"]
    if "transaction" in item:
        shown |= {"transaction_id": item["transaction"], "time_processed": rfc3339(item["processed"])}
    if item["cause"]:
        message = item["cause"].replace("_", " ").capitalize()
        shown["errors"] = {"name": item["cause"], "message": message, "debug_id": item["id"], "details": []}
    return shown


def money(amount: Decimal) -> dict[str, str]:
    """In this API `currency`, not `currency_code`."""
    return {"currency": "USD", "value": f"{amount:.2f}"}


def short_id() -> str:
    """Thirteen letters and digits, as PayPal's ids of batches and items."""
    return "".join(secrets.choice(LETTERS) for _ in range(13))
