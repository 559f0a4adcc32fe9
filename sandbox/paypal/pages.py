"""The approve page: what a payer sees between the shop and the shop."""

from __future__ import annotations

from decimal import Decimal
from html import escape
from typing import Any

from starlette.responses import Response

from sandbox.page import page, with_query
from sandbox.store import Document

NOTICE = "Sandbox PayPal, no real money"
__all__ = ["approve_page", "message_page", "with_query"]


def approve_page(order: Document, context: dict[str, Any]) -> Response:
    """Two buttons that post."""
    name = str(context.get("brand_name") or "the shop")
    shop, total = escape(name), _total(order)
    rows = "".join(
        f"<dt>{escape(unit.get('description') or 'Order')}</dt><dd>{_sum(unit['amount'])}</dd>"
        for unit in order["purchase_units"]
    )
    token = escape(order["id"], quote=True)
    content = f"""
<h1>Pay {shop}</h1><p>You are signed in as Sandbox Buyer.</p>
<p class="sum">{total}</p>
<dl>{rows}<dt>Paid with</dt><dd>Sandbox balance</dd><dt>Order</dt><dd>{token}</dd></dl>
<form method="post" action="/checkoutnow">
<input type="hidden" name="token" value="{token}">
<button class="primary" name="action" value="approve">Approve {total}</button>
<button name="action" value="cancel">Cancel and return to {shop}</button>
</form>"""
    return page(NOTICE, f"Pay {name}", content, 200, [context.get("return_url"), context.get("cancel_url")])


def subscribe_page(subscription: Document, plan: Document) -> Response:
    """Agree to a plan that is paid each month: a first one, or another one."""
    context = subscription["_context"]
    name = str(context.get("brand_name") or "the shop")
    price = _sum(plan["billing_cycles"][0]["pricing_scheme"]["fixed_price"])
    token = escape(subscription["_token"], quote=True)
    content = f"""
<h1>Pay {escape(name)} each month</h1><p>You are signed in as Sandbox Buyer.</p>
<p class="sum">{price}</p>
<dl><dt>{escape(plan["name"])}</dt><dd>{price} a month</dd><dt>Paid with</dt><dd>Sandbox balance</dd></dl>
<form method="post" action="/webapps/billing/subscriptions">
<input type="hidden" name="ba_token" value="{token}">
<button class="primary" name="action" value="approve">Agree to {price} a month</button>
<button name="action" value="cancel">Cancel and return to {escape(name)}</button>
</form>"""
    return page(NOTICE, f"Pay {name} each month", content, 200, [context["return_url"], context["cancel_url"]])


def message_page(title: str, text: str, status: int, *, back: str = "") -> Response:
    link = f'<form><a class="link" href="{escape(back, quote=True)}">Return to the shop</a></form>' if back else ""
    return page(NOTICE, title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{link}", status, [])


def _sum(amount: dict[str, Any]) -> str:
    return escape(f"${amount['value']} {amount['currency_code']}")


def _total(order: Document) -> str:
    values = [Decimal(unit["amount"]["value"]) for unit in order["purchase_units"]]
    return f"${sum(values, Decimal(0)):.2f} USD"
