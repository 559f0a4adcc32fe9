"""PayPal's subscriptions in the words of `payments/base.py`.

PayPal collects each month. What fails is owed there: it is asked for by our schedule, besides PayPal's own two tries. A
subscription that ends with its month is suspended until then, since what is cancelled cannot be resumed. PayPal splits
no months: another plan begins with the next one, when the customer has agreed to it there.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from billing.payments.base import (
    Capture,
    CaptureStatus,
    Gone,
    NewSubscription,
    Order,
    Refused,
    RemoteInvoice,
    RemoteSubscription,
    SubscriptionState,
)
from billing.payments.paypal import sales
from billing.payments.paypal.client import BRAND, PayPalApi, address_of, money, read_money, understand
from billing.payments.paypal.sales import SALE
from lib.clock import now

Body = dict[str, Any]
SUBSCRIPTION = "subscription:"  # the order of a first month, which PayPal has no other name for
SUBSCRIPTIONS, PLANS, PRODUCTS = "v1/billing/subscriptions", "v1/billing/plans", "v1/catalogs/products"
# One product for all plans: PayPal changes a subscription only between plans of the same one.
PRODUCT = "GPUBROKER-PLANS"
PER_PAGE = 20
# More failures than our schedule and PayPal's tries can come to: what PayPal suspends for them cannot go on.
MOST_FAILURES = 12
LONGEST_REASON = 128
PAID: dict[str, CaptureStatus] = {
    "COMPLETED": "completed",
    "PARTIALLY_REFUNDED": "refunded",
    "REFUNDED": "refunded",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A subscription and what was paid for it, the oldest first; `waits`: more of it is with the payer's bank."""

    body: Body
    sales: list[Body]
    waits: bool

    @property
    def ref(self) -> str:
        return str(self.body["id"])

    @property
    def status(self) -> str:
        return str(self.body["status"])

    @property
    def owed(self) -> Decimal:
        info = self.body.get("billing_info")
        return read_money(info["outstanding_balance"])[0] if info else Decimal(0)

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self.body["start_time"])

    @property
    def paid_until(self) -> datetime:
        return months_after(self.start, len(self.sales))


class PayPalRenewals:
    by_card = False

    def __init__(self, api: PayPalApi) -> None:
        self._api = api

    def price(self, plan: str, name: str, amount: Decimal, currency: str) -> str:
        return understand(lambda: self._find_plan(plan, name, amount, currency))

    def subscribe(self, new: NewSubscription, *, request_id: str) -> RemoteSubscription:
        body = {
            "plan_id": new.price_ref,
            "custom_id": new.reference,
            # `CONTINUE`: nothing is collected before we activate it, as nothing of an order before we capture it.
            "application_context": _context(new.return_url, new.cancel_url, "CONTINUE"),
        }
        return understand(lambda: self._read(self._api.tell(SUBSCRIPTIONS, body, request_id=request_id)))

    def fetch_subscription(self, ref: str) -> RemoteSubscription:
        return understand(lambda: self._read(self._api.ask(_path(ref))))

    def invoices(self, ref: str) -> list[RemoteInvoice]:
        return understand(lambda: _invoices(look(self._api, self._api.ask(_path(ref)))))

    def change_next(self, subscription: RemoteSubscription, price_ref: str, *, return_url: str) -> str:
        body = {"plan_id": price_ref, "application_context": _context(return_url, return_url, "CONTINUE")}
        path = f"{_path(subscription.ref)}/revise"
        return understand(lambda: address_of(self._api.act(path, body).get("links") or []))

    def end_with_period(self, ref: str, ends: bool, *, comment: str = "", feedback: str = "") -> None:
        reason = f"{feedback} {comment}".strip() or "It goes on."
        action, done = ("suspend", {"SUSPENDED", "CANCELLED"}) if ends else ("activate", {"ACTIVE"})
        try:
            understand(lambda: self._do(ref, action, reason))
        except Refused:
            if understand(lambda: self._api.ask(_path(ref))["status"]) not in done:
                raise

    def end(self, ref: str) -> None:
        try:
            understand(lambda: self._do(ref, "cancel", "It has ended."))
        except (Gone, Refused):
            return  # it had ended before, or was never agreed to: then nothing is collected without us

    def collect(self, invoice: RemoteInvoice, *, card_ref: str, request_id: str) -> None:
        ref, _sign, _month = invoice.ref.partition(":")
        body = {
            "note": f"{BRAND}: the renewal that was not paid",
            "capture_type": "OUTSTANDING_BALANCE",
            "amount": money(invoice.amount, invoice.currency),
        }
        made = understand(lambda: self._api.tell(f"{_path(ref)}/capture", body, request_id=request_id))
        if made.get("status") == "DECLINED":
            raise Refused("PAYER_CANNOT_PAY")

    def _do(self, ref: str, action: str, reason: str) -> None:
        self._api.act(f"{_path(ref)}/{action}", {"reason": reason[:LONGEST_REASON]})

    def _find_plan(self, plan: str, name: str, amount: Decimal, currency: str) -> str:
        """PayPal finds no plan by a name of ours: those of our product are looked through."""
        key, page = f"gpubroker {plan} {amount.normalize():f} {currency}", 1
        while rows := self._plans(page):
            found = next((row for row in rows if row.get("description") == key and row["status"] == "ACTIVE"), None)
            if found is not None:
                return str(found["id"])
            page += 1
        self._make_product()
        body = {
            "product_id": PRODUCT,
            "name": f"{BRAND} {name}",
            "description": key,
            "billing_cycles": [_cycle(amount, currency)],
            "payment_preferences": {"auto_bill_outstanding": False, "payment_failure_threshold": MOST_FAILURES},
        }
        return str(self._api.tell(PLANS, body, request_id=f"plan-{key.replace(' ', '-')}")["id"])

    def _plans(self, page: int) -> list[Body]:
        query = urlencode({"product_id": PRODUCT, "page_size": PER_PAGE, "page": page})
        try:
            rows: list[Body] = understand(lambda: self._api.ask(f"{PLANS}?{query}").get("plans") or [])
        except Gone:
            return []
        return rows

    def _make_product(self) -> None:
        body = {"id": PRODUCT, "name": f"{BRAND} plans", "type": "SERVICE"}
        try:
            understand(lambda: self._api.tell(PRODUCTS, body, request_id=f"product-{PRODUCT}"))
        except Refused as refusal:
            if refusal.issue != "DUPLICATE_RESOURCE_IDENTIFIER":
                raise

    def _read(self, body: Body) -> RemoteSubscription:
        seen = look(self._api, body)
        plan = self._api.ask(f"{PLANS}/{quote(body['plan_id'], safe='')}")
        amount, currency = price_of(plan)
        state, ends = _state(seen)
        return RemoteSubscription(
            ref=seen.ref,
            item_ref="",
            state=state,
            plan=_slug_of(plan),
            amount=amount,
            currency=currency,
            period_start=months_after(seen.start, len(seen.sales) - 1) if seen.sales else None,
            period_end=seen.paid_until if seen.sales else None,
            ends_with_period=ends,
            settled=not seen.owed,
            intent_ref=SUBSCRIPTION + seen.ref,
            approve_url=address_of(body.get("links") or []),
        )


def is_subscription(ref: str) -> bool:
    return ref.startswith(SUBSCRIPTION)


def look(api: PayPalApi, body: Body) -> Seen:
    """With what was paid of it, should it have begun."""
    if "billing_info" not in body:
        return Seen(body, [], waits=False)
    span = {"start_time": body["create_time"], "end_time": f"{now() + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    rows = api.ask(f"{_path(str(body['id']))}/transactions?{urlencode(span)}").get("transactions") or []
    paid = sorted((row for row in rows if row["status"] in PAID), key=lambda row: str(row["time"]))
    return Seen(body, paid, waits=any(row["status"] == "PENDING" for row in rows))


def fetch_order(api: PayPalApi, ref: str) -> Order:
    """The first month of a subscription, as an order: approved when the customer has agreed."""
    seen = look(api, api.ask(_path(ref.removeprefix(SUBSCRIPTION))))
    if seen.sales:
        captures: tuple[Capture, ...] = (_capture(seen.sales[0]),)
        amount, currency = captures[0].amount, captures[0].currency
    else:
        amount, currency = price_of(api.ask(f"{PLANS}/{quote(seen.body['plan_id'], safe='')}"))
        captures = _declined(seen, amount, currency)
    begun = "billing_info" in seen.body
    status = {"APPROVAL_PENDING": "open", "APPROVED": "approved"}.get(seen.status, "completed")
    if seen.status in {"CANCELLED", "EXPIRED"} and not seen.sales and not seen.waits:
        status = "voided"
    return Order(
        ref=ref,
        status=status,  # type: ignore[arg-type]
        reference="",
        amount=amount,
        currency=currency,
        approve_url=address_of(seen.body.get("links") or []),
        payer_email=str((seen.body.get("subscriber") or {}).get("email_address", ""))[:254],
        captures=captures,
        period=(seen.start, months_after(seen.start, 1)) if begun else None,
    )


def capture_order(api: PayPalApi, ref: str) -> Order:
    """Let PayPal begin to collect; one that has begun is answered as it is."""
    try:
        understand(lambda: api.act(f"{_path(ref.removeprefix(SUBSCRIPTION))}/activate", {"reason": BRAND}))
    except Refused:
        return fetch_order(api, ref)
    return fetch_order(api, ref)


def order_of_sale(api: PayPalApi, sale: str) -> str:
    """The order that a sale belongs to: the subscription, for its first month."""
    subscription = sales.subscription_of(api, sale)
    if not subscription:
        return ""
    seen = look(api, api.ask(_path(subscription)))
    first = bool(seen.sales) and _capture(seen.sales[0]).ref == sale
    return SUBSCRIPTION + subscription if first else sale


def price_of(plan: Body) -> tuple[Decimal, str]:
    (cycle,) = plan["billing_cycles"]
    return read_money(cycle["pricing_scheme"]["fixed_price"])


def _slug_of(plan: Body) -> str:
    """As `_find_plan` has written it; empty for a plan that somebody made by hand."""
    ours, _space, rest = str(plan.get("description", "")).partition(" ")
    return rest.partition(" ")[0] if ours == "gpubroker" else ""


def months_after(anchor: datetime, months: int) -> datetime:
    """The same day of a later month, or its last day."""
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    last = monthrange(year, month + 1)[1]
    return anchor.replace(year=year, month=month + 1, day=min(anchor.day, last))


def _state(seen: Seen) -> tuple[SubscriptionState, bool]:
    """What it is, and whether it ends with the month that is paid."""
    if seen.status in {"APPROVAL_PENDING", "APPROVED"}:
        return "waiting", False
    if seen.status in {"CANCELLED", "EXPIRED"}:  # the customer can do so at PayPal: what is paid stays theirs
        runs = seen.waits or (bool(seen.sales) and seen.paid_until > now())
        return ("active", True) if runs else ("ended", False)
    if seen.owed:
        return "past_due", False
    return "active", seen.status == "SUSPENDED"  # perhaps with a first payment that is still under way


def _invoices(seen: Seen) -> list[RemoteInvoice]:
    rows = []
    for month, sale in enumerate(seen.sales):
        paid = _capture(sale)
        order_ref = paid.ref if month else SUBSCRIPTION + seen.ref
        rows.append(_invoice(seen, month, paid.ref, paid.amount, paid.currency, order_ref))
    if seen.owed:
        currency = str(seen.body["billing_info"]["outstanding_balance"]["currency_code"])
        rows.append(_invoice(seen, len(rows), f"{seen.ref}:{len(rows)}", seen.owed, currency, ""))
    return rows[::-1]


def _invoice(seen: Seen, month: int, ref: str, amount: Decimal, currency: str, order_ref: str) -> RemoteInvoice:
    return RemoteInvoice(
        ref=ref,
        state="paid" if order_ref else "open",
        reason="subscription_cycle" if month else "subscription_create",
        amount=amount,
        currency=currency,
        order_ref=order_ref,
        tried=True,
        period_start=months_after(seen.start, month),
        period_end=months_after(seen.start, month + 1),
    )


def _capture(sale: Body) -> Capture:
    amount, currency = read_money(sale["amount_with_breakdown"]["gross_amount"])
    return Capture(SALE + str(sale["id"]), PAID[sale["status"]], amount, currency)


def _declined(seen: Seen, amount: Decimal, currency: str) -> tuple[Capture, ...]:
    """A first month that PayPal could not collect."""
    if not seen.owed:
        return ()
    reason = (seen.body["billing_info"].get("last_failed_payment") or {}).get("reason_code", "declined")
    return (Capture("", "declined", amount, currency, str(reason)),)


def _cycle(amount: Decimal, currency: str) -> Body:
    return {
        "frequency": {"interval_unit": "MONTH", "interval_count": 1},
        "tenure_type": "REGULAR",
        "sequence": 1,
        "total_cycles": 0,
        "pricing_scheme": {"fixed_price": money(amount, currency)},
    }


def _context(return_url: str, cancel_url: str, action: str) -> Body:
    return {
        "brand_name": BRAND,
        "shipping_preference": "NO_SHIPPING",
        "user_action": action,
        "return_url": return_url,
        "cancel_url": cancel_url,
    }


def _path(ref: str) -> str:
    return f"{SUBSCRIPTIONS}/{quote(ref, safe='')}"
