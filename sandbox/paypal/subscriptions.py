"""Subscriptions: APPROVAL_PENDING → APPROVED (by the payer) → ACTIVE ⇄ SUSPENDED → CANCELLED; collected each month.

What begins with `_` is this stand-in's own and never shown. A payment that fails is owed: PayPal tries it again twice,
five days apart, and the merchant may `capture` it at any time.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sandbox.paypal import clock, plans, sales
from sandbox.paypal.errors import BillingProblem
from sandbox.paypal.money import money, read_amount
from sandbox.paypal.orders import PAYER, check_url, link
from sandbox.paypal.webhooks import Webhooks
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

RETRY_S, MOST_RETRIES = 5 * 86_400.0, 2
OPEN = ("APPROVAL_PENDING", "APPROVED")
EVENTS = "BILLING.SUBSCRIPTION."


def create(store: Store, body: dict[str, Any], url: str) -> Document:
    plan = plans.find(store, "plan", str(body.get("plan_id", "")))
    context = read_context(body)
    now, id, token = clock.now(store), f"I-{plans.letters(12)}", f"BA-{plans.letters(17)}"
    made: Document = {
        "id": id,
        "status": "APPROVAL_PENDING",
        "status_update_time": rfc3339(now),
        "plan_id": plan["id"],
        "start_time": rfc3339(now),
        "quantity": "1",
        "plan_overridden": False,
        "create_time": rfc3339(now),
        "links": [
            link(url, f"/webapps/billing/subscriptions?ba_token={token}", "approve"),
            link(url, f"/v1/billing/subscriptions/{id}", "self"),
        ],
        "_token": token,
        "_context": context,
        "_pays": True,
        "_owed": "0.00",
    }
    if "custom_id" in body:
        made["custom_id"] = plans.text(body, "custom_id")
    store.put("subscription", id, made)
    return made


def read_context(body: dict[str, Any]) -> Document:
    context = body.get("application_context")
    if not isinstance(context, dict):
        raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field="/application_context")
    for name in ("return_url", "cancel_url"):
        if name not in context:
            raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field=f"/application_context/{name}")
        check_url(context[name], f"/application_context/{name}")
    if context.get("user_action", "SUBSCRIBE_NOW") not in ("CONTINUE", "SUBSCRIBE_NOW"):
        raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/application_context/user_action")
    return context


def revise(store: Store, subscription: Document, body: dict[str, Any], url: str) -> Document:
    """Another plan, of the same product, from the next payment on: when the payer has agreed."""
    plan = plans.find(store, "plan", str(body.get("plan_id", "")))
    if subscription["status"] not in ("ACTIVE", "SUSPENDED"):
        raise _wrong_status("revise", "active or suspended")
    if plan["product_id"] != plans.find(store, "plan", subscription["plan_id"])["product_id"]:
        raise BillingProblem(422, "PLAN_PRODUCT_NOT_COMPATIBLE", field="/plan_id")
    token = f"BA-{plans.letters(17)}"
    pending = {"_token": token, "_context": read_context(body), "_wanted": plan["id"]}
    store.put("subscription", subscription["id"], {**subscription, **pending})
    return {
        "plan_id": plan["id"],
        "plan_overridden": False,
        "links": [
            link(url, f"/webapps/billing/subscriptions/update?ba_token={token}", "approve"),
            link(url, f"/v1/billing/subscriptions/{subscription['id']}", "self"),
        ],
    }


class Subscriptions:
    """What changes them: each change is told. Call these inside a `together` block."""

    def __init__(self, store: Store, webhooks: Webhooks, url: str) -> None:
        self._store = store
        self._webhooks = webhooks
        self._url = url

    def approve(self, subscription: Document) -> Document:
        """The payer has agreed: to begin, or to another plan."""
        if "_wanted" in subscription:
            revised = {**subscription, "plan_id": subscription["_wanted"]}
            revised.pop("_wanted")
            return self._put(revised, "UPDATED")
        subscriber = {name: PAYER[name] for name in ("name", "email_address", "payer_id")}
        approved = {**self._with_status(subscription, "APPROVED"), "subscriber": subscriber}
        if subscription["_context"].get("user_action") == "CONTINUE":
            return self._put(approved)
        return self._begin(approved)

    def activate(self, subscription: Document) -> Document:
        if subscription["status"] == "APPROVED":
            return self._begin(subscription)
        if subscription["status"] != "SUSPENDED":
            raise _wrong_status("activate", "suspended")
        if subscription.get("_gave_up"):
            raise BillingProblem(422, "SUBSCRIPTION_CANNOT_BE_ACTIVATED")
        now = clock.now(self._store)
        running = self._with_status(subscription, "ACTIVE")
        while running["_next"] <= now:
            running = self._next_month(running)
        return self._put(running, "RE-ACTIVATED")

    def suspend(self, subscription: Document, reason: str) -> Document:
        if subscription["status"] != "ACTIVE":
            raise _wrong_status("suspend", "active")
        return self._put(self._with_status(subscription, "SUSPENDED", reason), "SUSPENDED")

    def cancel(self, subscription: Document, reason: str) -> Document:
        if subscription["status"] not in ("ACTIVE", "SUSPENDED"):
            raise _wrong_status("cancel", "active or suspended")
        return self._put(self._with_status(subscription, "CANCELLED", reason), "CANCELLED")

    def capture(self, subscription: Document, body: dict[str, Any]) -> Document:
        """Try what is owed. Returns the sale, which may have been declined."""
        if subscription["status"] in (*OPEN, "CANCELLED"):
            raise _wrong_status("capture", "active or suspended or expired")
        if body.get("capture_type") != "OUTSTANDING_BALANCE":
            raise BillingProblem(400, "INVALID_PARAMETER_VALUE", field="/capture_type")
        plans.text(body, "note", required=True)
        amount, owed = read_amount(body.get("amount"), "/amount"), Decimal(subscription["_owed"])
        if not owed:
            raise BillingProblem(422, "ZERO_OUTSTANDING_BALANCE")
        if amount > owed:
            raise BillingProblem(422, "AMOUNT_GREATER_THAN_OUTSTANDING_BALANCE")
        return self._collect_owed(subscription, amount, clock.now(self._store))

    def run(self) -> None:
        """Whatever has fallen due until now, of each subscription in its order."""
        now = clock.now(self._store)
        for id in [each["id"] for each in self._store.all("subscription")]:
            while (due := self._due(self._store.get("subscription", id) or {})) is not None and due <= now:
                self._happen(plans.find(self._store, "subscription", id), due)

    def _due(self, subscription: Document) -> float | None:
        if subscription.get("status") != "ACTIVE":
            return None
        following: float = subscription["_next"]
        retry: float = subscription.get("_retry", following)
        return min(following, retry)

    def _happen(self, subscription: Document, at: float) -> None:
        if subscription.get("_retry", at + 1) <= at:
            self._collect_owed(subscription, Decimal(subscription["_owed"]), at)
        else:
            self._collect_month(subscription, at)

    def _begin(self, subscription: Document) -> Document:
        now = clock.now(self._store)
        begun = self._with_status(subscription, "ACTIVE") | {"start_time": rfc3339(now), "_anchor": now}
        begun = self._put({**begun, "_months": 0, "_next": now, "_failures": 0}, "ACTIVATED")
        return self._collect_month(begun, now)

    def _collect_month(self, subscription: Document, at: float) -> Document:
        plan = plans.find(self._store, "plan", subscription["plan_id"])
        amount = plans.price_of(plan)
        if plan["payment_preferences"]["auto_bill_outstanding"]:
            amount += Decimal(subscription["_owed"])
            subscription = {**subscription, "_owed": "0.00"}
        following = self._next_month(subscription)
        if subscription["_pays"]:
            return self._paid(following, amount, at)
        owed = Decimal(following["_owed"]) + amount
        failed = {**following, "_owed": f"{owed:.2f}", "_retries": 0}
        self._failed(failed, amount, at, threshold=plan["payment_preferences"]["payment_failure_threshold"])
        return plans.find(self._store, "subscription", subscription["id"])

    def _next_month(self, subscription: Document) -> Document:
        months = subscription["_months"] + 1
        return {**subscription, "_months": months, "_next": clock.months_after(subscription["_anchor"], months)}

    def _collect_owed(self, subscription: Document, amount: Decimal, at: float) -> Document:
        if not subscription["_pays"]:
            plan = plans.find(self._store, "plan", subscription["plan_id"])
            again = {**subscription, "_retries": subscription.get("_retries", 0) + 1}
            return self._failed(again, amount, at, threshold=plan["payment_preferences"]["payment_failure_threshold"])
        owed = Decimal(subscription["_owed"]) - amount
        self._paid({**subscription, "_owed": f"{owed:.2f}"}, amount, at)
        return sales.of(self._store, subscription["id"])[-1]

    def _paid(self, subscription: Document, amount: Decimal, at: float) -> Document:
        state = "pending" if subscription.get("_waits") else "completed"
        sale = sales.create(self._store, subscription["id"], amount, at, self._url, state=state)
        paid = {**subscription, "_failures": 0, "_last": {"amount": money(amount), "time": rfc3339(at)}}
        for name in ("_retry", "_retries", "_last_failed"):
            paid.pop(name, None)
        self._put(paid)
        self._webhooks.publish(f"PAYMENT.SALE.{state.upper()}", sale)
        return paid

    def settle(self, subscription: Document) -> None:
        """The payer's bank has paid what it was asked for."""
        for sale in sales.of(self._store, subscription["id"]):
            if sale["state"] == "pending":
                settled = {**sale, "state": "completed", "update_time": rfc3339(clock.now(self._store))}
                self._store.put("sale", sale["id"], settled)
                self._webhooks.publish("PAYMENT.SALE.COMPLETED", settled)

    def _failed(self, subscription: Document, amount: Decimal, at: float, *, threshold: int) -> Document:
        """Returns the sale that was declined."""
        sale = sales.create(self._store, subscription["id"], amount, at, self._url, state="denied")
        failures = subscription["_failures"] + 1
        about: Document = {"amount": money(amount), "time": rfc3339(at), "reason_code": "PAYER_CANNOT_PAY"}
        failed = {**subscription, "_failures": failures, "_last_failed": about}
        failed.pop("_retry", None)
        if subscription["_retries"] < MOST_RETRIES:
            failed["_retry"] = at + RETRY_S
            about["next_payment_retry_time"] = rfc3339(at + RETRY_S)
        self._put(failed, "PAYMENT.FAILED")
        if threshold and failures >= threshold:
            self._put({**self._with_status(failed, "SUSPENDED"), "_gave_up": True}, "SUSPENDED")
        return sale

    def _with_status(self, subscription: Document, status: str, note: str = "") -> Document:
        changed = {**subscription, "status": status, "status_update_time": rfc3339(clock.now(self._store))}
        links = [each for each in subscription["links"] if each["rel"] != "approve"]
        return {**changed, "links": links, **({"status_change_note": note} if note else {})}

    def _put(self, subscription: Document, event: str = "") -> Document:
        self._store.put("subscription", subscription["id"], subscription)
        if event:
            self._webhooks.publish(EVENTS + event, show(subscription))
        return subscription


def _wrong_status(action: str, wanted: str) -> BillingProblem:
    text = f"Invalid subscription status for {action} action; subscription status should be {wanted}."
    return BillingProblem(422, "SUBSCRIPTION_STATUS_INVALID", text=text)


def by_token(store: Store, token: str) -> Document | None:
    return next((each for each in store.all("subscription") if token and each["_token"] == token), None)


def show(subscription: Document, *, plan: Document | None = None) -> Document:
    """As callers see it; `plan`: with the plan, where they ask for it."""
    shown = {name: value for name, value in subscription.items() if not name.startswith("_")}
    if "_anchor" in subscription:
        shown["billing_info"] = _billing_info(subscription)
    return shown | ({"plan": plan} if plan else {})


def _billing_info(subscription: Document) -> Document:
    cycle = {
        "tenure_type": "REGULAR",
        "sequence": 1,
        "cycles_completed": subscription["_months"],
        "cycles_remaining": 0,
        "current_pricing_scheme_version": 1,
        "total_cycles": 0,
    }
    info: Document = {
        "outstanding_balance": money(Decimal(subscription["_owed"])),
        "cycle_executions": [cycle],
        "failed_payments_count": subscription["_failures"],
    }
    if "_last" in subscription:
        info["last_payment"] = subscription["_last"]
    if "_last_failed" in subscription:
        info["last_failed_payment"] = subscription["_last_failed"]
    if subscription["status"] == "ACTIVE":
        info["next_billing_time"] = rfc3339(subscription["_next"])
    return info
