"""The approve page: what a payer sees between the shop and the shop. Plain HTML, no script."""

from __future__ import annotations

import base64
import hashlib
from decimal import Decimal
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, Response

from sandbox.store import Document

STYLE = """
:root{color-scheme:light dark;--page:#f2f4f7;--card:#fff;--ink:#14213d;--soft:#5a6478;--line:#d9dee8;--act:#0b5cad;
--on-act:#fff;--warn:#fff3d6;--on-warn:#5c4300}
@media(prefers-color-scheme:dark){:root{--page:#10141c;--card:#1a202c;--ink:#e8ecf4;--soft:#a3adc0;--line:#313a4b;
--act:#7db7f5;--on-act:#0b1420;--warn:#3d3210;--on-warn:#ffe3a0}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow:hidden}
.notice{margin:0;padding:.75rem 1.5rem;background:var(--warn);color:var(--on-warn);font-weight:600}
.body{padding:1.5rem}
h1{margin:0 0 .25rem;font-size:1.25rem}
p{margin:0 0 1rem;color:var(--soft)}
.sum{margin:0 0 1rem;color:var(--ink);font-size:2rem;font-weight:700;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:0 0 1.5rem;padding:1rem 0;
border:solid var(--line);border-width:1px 0}
dt{color:var(--soft)}
dd{margin:0;text-align:right;overflow-wrap:anywhere}
form{display:grid;gap:.75rem}
button,.link{min-height:2.75rem;padding:.5rem 1rem;border:1px solid var(--line);border-radius:.5rem;background:none;
color:inherit;font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
.primary{border-color:var(--act);background:var(--act);color:var(--on-act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
NOTICE = "Sandbox PayPal, no real money"


def approve_page(order: Document, context: dict[str, Any]) -> Response:
    """Two buttons that post: browsers check `form-action` on the redirect too, so the shop's origins are named."""
    shop = escape(str(context.get("brand_name") or "the shop"))
    total = _total(order)
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
    origins = [origin for name in ("return_url", "cancel_url") if (origin := _origin(context.get(name)))]
    return _page(f"Pay {shop}", content, 200, origins)


def message_page(title: str, text: str, status: int, *, back: str = "") -> Response:
    link = f'<form><a class="link" href="{escape(back, quote=True)}">Return to the shop</a></form>' if back else ""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>{link}", status, [])


def with_query(url: str, **more: str) -> str:
    """`url` with these parameters added to those it has."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()])
    return urlunsplit(parts._replace(query=query))


def _page(title: str, content: str, status: int, origins: list[str]) -> Response:
    html = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {NOTICE}</title><style>{STYLE}</style></head>
<body><main><p class="notice">{NOTICE}</p><div class="body">{content}</div></main></body></html>"""
    allowed = " ".join(dict.fromkeys(["'self'", *origins]))
    policy = (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {allowed}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(html, status, headers=headers)


def _origin(url: Any) -> str:
    parts = urlsplit(url) if isinstance(url, str) else None
    return f"{parts.scheme}://{parts.netloc}" if parts and parts.netloc else ""


def _sum(amount: dict[str, Any]) -> str:
    return escape(f"${amount['value']} {amount['currency_code']}")


def _total(order: Document) -> str:
    values = [Decimal(unit["amount"]["value"]) for unit in order["purchase_units"]]
    return f"${sum(values, Decimal(0)):.2f} USD"
