"""The pages that people see at Stripe: the bank's question (3-D Secure), and the onboarding of an owner."""

from __future__ import annotations

from html import escape

from starlette.responses import Response

from sandbox.page import page, with_query
from sandbox.store import Document
from sandbox.stripe.documents import dollars

NOTICE = "Sandbox Stripe, no real money"
__all__ = ["message_page", "onboarding_page", "payer_page", "with_query"]


def payer_page(intent: Document) -> Response:
    """Two buttons that post."""
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
    return page(NOTICE, "3-D Secure", content, 200, [intent["_return_url"]])


def onboarding_page(account: Document, link: Document) -> Response:
    content = f"""
<h1>Get paid</h1><p>This stands for the form in which Stripe asks an owner for identity and bank account.</p>
<p class="sum">{escape(account["email"] or account["id"])}</p>
<form method="post">
<button class="primary" name="action" value="complete">Give all details</button>
<button name="action" value="later">Return later</button>
</form>"""
    return page(NOTICE, "Onboarding", content, 200, [link["_return_url"]])


def message_page(title: str, text: str, status: int) -> Response:
    return page(NOTICE, title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>", status, [])
