"""Products of the catalogue, and plans: what a subscription costs each month."""

from __future__ import annotations

import secrets
import time
from decimal import Decimal
from typing import Any

from sandbox.paypal.errors import BillingProblem
from sandbox.paypal.money import money, read_amount
from sandbox.paypal.orders import LETTERS, link
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

TYPES = ("PHYSICAL", "DIGITAL", "SERVICE")
LONGEST_NAME = 127
MOST_FAILURES = 999
MOST_ON_A_PAGE = 20


def create_product(store: Store, body: dict[str, Any], url: str) -> Document:
    id = body.get("id") or f"PROD-{letters(17)}"
    if not isinstance(id, str) or not 6 <= len(id) <= 50:
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/id", value=str(id))
    if store.get("product", id) is not None:
        raise BillingProblem(422, "DUPLICATE_RESOURCE_IDENTIFIER", field="/id", value=id)
    if body.get("type", "PHYSICAL") not in TYPES:
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/type")
    now = rfc3339(time.time())
    product = {
        "id": id,
        "name": text(body, "name", required=True),
        "type": body.get("type", "PHYSICAL"),
        "create_time": now,
        "update_time": now,
        "links": [link(url, f"/v1/catalogs/products/{id}", "self")],
    }
    store.put("product", id, product)
    return product


def create_plan(store: Store, body: dict[str, Any], url: str) -> Document:
    """One regular cycle of a month, for ever: that is all that the sandbox renews."""
    product = body.get("product_id")
    if not isinstance(product, str):
        raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field="/product_id")
    if store.get("product", product) is None:
        raise BillingProblem(404, "INVALID_RESOURCE_ID", field="/product_id")
    id = f"P-{letters(24)}"
    plan: Document = {
        "id": id,
        "product_id": product,
        "name": text(body, "name", required=True),
        "status": "ACTIVE",
        "billing_cycles": [_read_cycle(body.get("billing_cycles"))],
        "payment_preferences": _read_preferences(body.get("payment_preferences")),
        "quantity_supported": False,
        "create_time": rfc3339(time.time()),
        "update_time": rfc3339(time.time()),
        "links": [link(url, f"/v1/billing/plans/{id}", "self")],
    }
    if "description" in body:
        plan["description"] = text(body, "description")
    store.put("plan", id, plan)
    return plan


def _read_cycle(cycles: Any) -> Document:
    if not isinstance(cycles, list) or len(cycles) != 1 or not isinstance(cycles[0], dict):
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/billing_cycles")
    cycle = cycles[0]
    wanted = {
        "frequency": {"interval_unit": "MONTH", "interval_count": 1},
        "tenure_type": "REGULAR",
        "sequence": 1,
        "total_cycles": 0,
    }
    for name, value in wanted.items():
        if cycle.get(name) != value:
            raise BillingProblem(
                400, "INVALID_PARAMETER_VALUE", field=f"/billing_cycles/0/{name}", value=str(cycle.get(name))
            )
    scheme = cycle.get("pricing_scheme")
    if not isinstance(scheme, dict):
        raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field="/billing_cycles/0/pricing_scheme")
    price = read_amount(scheme.get("fixed_price"), "/billing_cycles/0/pricing_scheme/fixed_price")
    return {**wanted, "pricing_scheme": {"version": 1, "fixed_price": money(price)}}


def _read_preferences(given: Any) -> Document:
    if not isinstance(given, dict):
        raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field="/payment_preferences")
    threshold, bills = given.get("payment_failure_threshold", 0), given.get("auto_bill_outstanding", True)
    if isinstance(threshold, bool) or not isinstance(threshold, int) or not 0 <= threshold <= MOST_FAILURES:
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/payment_preferences/payment_failure_threshold")
    if not isinstance(bills, bool):
        raise BillingProblem(400, "INVALID_PARAMETER_SYNTAX", field="/payment_preferences/auto_bill_outstanding")
    return {"auto_bill_outstanding": bills, "payment_failure_threshold": threshold}


def list_plans(store: Store, query: dict[str, str], url: str, *, whole: bool) -> Document:
    """A page of them, in short unless the whole is preferred."""
    product = query.get("product_id")
    found = [plan for plan in store.all("plan") if product in (None, plan["product_id"])]
    size, page = _number(query, "page_size", 10, MOST_ON_A_PAGE), _number(query, "page", 1, 100_000)
    short = ("id", "product_id", "name", "status", "description", "create_time", "links")
    shown = found[(page - 1) * size : page * size]
    if not whole:
        shown = [{name: plan[name] for name in short if name in plan} for plan in shown]
    listed: Document = {"plans": shown, "links": [link(url, "/v1/billing/plans", "self")]}
    if query.get("total_required") == "true":
        listed |= {"total_items": len(found), "total_pages": max(1, -(-len(found) // size))}
    return listed


def _number(query: dict[str, str], name: str, usual: int, most: int) -> int:
    given = query.get(name, str(usual))
    if not given.isdecimal() or not 1 <= int(given) <= most:
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field=name, value=given)
    return int(given)


def find(store: Store, kind: str, id: str) -> Document:
    found = store.get(kind, id)
    if found is None:
        raise BillingProblem(404, "INVALID_RESOURCE_ID")
    return found


def price_of(plan: Document) -> Decimal:
    return Decimal(plan["billing_cycles"][0]["pricing_scheme"]["fixed_price"]["value"])


def text(body: dict[str, Any], name: str, *, required: bool = False) -> str:
    given = body.get(name)
    if given is None and required:
        raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field=f"/{name}")
    if not isinstance(given, str) or not given:
        raise BillingProblem(400, "INVALID_PARAMETER_SYNTAX", field=f"/{name}", value=str(given))
    if len(given) > LONGEST_NAME:
        raise BillingProblem(400, "INVALID_STRING_MAX_LENGTH", field=f"/{name}", value=given)
    return given


def letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))
