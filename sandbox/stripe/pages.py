"""The pages that people see at Stripe: the bank's question (3-D Secure), and the onboarding of an owner."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response

from sandbox.paypal.pages import STYLE, STYLE_HASH, with_query
from sandbox.store import Document
from sandbox.stripe.documents import dollars

NOTICE = "Sandbox Stripe, no real money"
__all__ = ["message_page", "onboarding_page", "payer_page", "with_query"]


def payer_page(intent: Document) -> Response:
    """Two buttons that post: browsers check `form-action` on the redirect too, so the shop's origin is named."""
    paying = intent["object"] == "payment_intent"
    what = f"Pay {dollars(intent['amount'])}" if paying else "Save this card"
    content = f"""
<h1>Your bank asks</h1><p>This stands for the page on which your bank makes sure that it is you.</p>
<p class="sum">{what}</p>
<form method="post">
<input type="hidden" name="client_secret" value="{escape(intent["client_secret"], quote=True)}">
<button class="primary" name="action" value="complete">Complete authentication</button>
<button name="action" value="fail">Fail authentication</button>
</form>"""
    return _page("3-D Secure", content, 200, [intent["_return_url"]])


def onboarding_page(account: Document, link: Document) -> Response:
    content = f"""
<h1>Get paid</h1><p>This stands for the form in which Stripe asks an owner for identity and bank account.</p>
<p class="sum">{escape(account["email"] or account["id"])}</p>
<form method="post">
<button class="primary" name="action" value="complete">Give all details</button>
<button name="action" value="later">Return later</button>
</form>"""
    return _page("Onboarding", content, 200, [link["_return_url"]])


def message_page(title: str, text: str, status: int) -> Response:
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>", status, [])


def _page(title: str, content: str, status: int, goes_to: list[str | None]) -> Response:
    html = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {NOTICE}</title><style>{STYLE}</style></head>
<body><main><p class="notice">{NOTICE}</p><div class="body">{content}</div></main></body></html>"""
    allowed = " ".join(dict.fromkeys(["'self'", *(origin for url in goes_to if (origin := _origin(url)))]))
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {allowed}; "
        "base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(html, status, headers=headers)


def _origin(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
