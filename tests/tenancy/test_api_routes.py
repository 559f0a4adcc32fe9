"""Every API route, called by nobody and by the owner of another organisation: refused, and nothing is changed.

A new route fails here until it stands in one of the tables below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from config.api import api
from tests.people import API, Caller, Person
from tests.tenancy.rows import Theirs, state

# Open to everybody: they show no customer's rows, or ask for a secret of their own (a key, a password, a session).
PUBLIC = {
    "POST auth/signup",
    "POST auth/verify-email",
    "POST auth/verify-email/resend",
    "POST auth/login",
    "POST auth/mfa",
    "POST auth/refresh",
    "POST auth/password/reset",
    "POST auth/password/reset/confirm",
    "GET providers/featured",
    "GET providers/browse",
    "GET gpus/search",
    "GET gpus/{model}/history",
    "GET offers/{offer_id}",
    "POST offers/{offer_id}/quote",
    "GET billing/plans",
    "POST billing/paypal/webhook",
    "POST billing/webhook",
    "POST nodes/enroll",
    "GET admin/public/health",
    "GET admin/public/geo/detect",
    "POST admin/public/validate/ruc",
    "POST admin/public/validate/cedula",
    "POST admin/public/validate/identity",
    "POST admin/public/admin/login",
    "POST admin/public/subscription/create",
    "POST admin/public/subscription/activate",
    "GET admin/public/pod/status",
}
# Works in the caller's own organisation, or on the caller: there is nothing in the address that could be another's.
OWN = {
    "GET organisations/",
    "POST organisations/",
    "GET invitations/",
    "POST invitations/",
    "GET auth/api-keys",
    "POST auth/api-keys",
    "POST auth/logout",
    "GET auth/me",
    "GET config/pods/",
    "POST config/pods/",
    "GET deployment/configs",
    "GET deployment/limits",
    "GET deployment/pods",
    "GET provider-accounts/",
    "POST provider-accounts/",
    "GET billing/subscription",
    "POST billing/subscription",
    "POST billing/subscription/preview",
    "POST billing/subscription/change",
    "POST billing/subscription/cancel",
    "POST billing/subscription/resume",
    "GET billing/payments",
    "GET billing/payment-methods",
    "POST billing/setup-intent",
    "GET billing/invoices",
    "GET wallets/balance",
    "POST wallets/deposit",
    "GET wallets/alerts",
    "PUT wallets/alerts",
    "GET wallets/auto-top-up",
    "PUT wallets/auto-top-up",
    "POST credits/transfer",
    "POST credits/estimate",
    "GET wallets/limits",
    "PUT wallets/limits",
    "GET wallets/transactions",
    "GET wallets/transactions.csv",
    "GET wallets/chains",
    "POST wallets/nonce",
    "POST wallets/link",
    "GET wallets/links",
    "GET wallets/deposits",
    "POST wallets/withdraw",
    "GET wallets/withdrawals",
    "POST wallets/faucet",
    "GET credits/",
    "GET disputes/",
    "GET payouts/",
    "POST payouts/",
    "GET payouts/earnings",
    "POST payouts/to-wallet",
    "GET payouts/payee",
    "PUT payouts/payee",
    "GET payouts/methods",
    "POST payouts/methods",
    "GET payouts/statements/{month}",
    "GET referrals/",
    "GET referrals/code",
    "GET nodes/",
    "GET failovers/",
    "GET dashboard/",
    "GET dashboard/pods",
    "GET dashboard/providers/health",
    "GET dashboard/activity",
}
# For staff, and for the agents of nodes.
STAFF = {
    "GET admin/dashboard",
    "GET admin/pods",
    "POST admin/pod/destroy",
    "POST admin/pod/start",
    "GET admin/pod/{pod_id}/metrics",
    "GET admin/costs",
    "GET admin/customers",
    "GET admin/customer/{email}",
    "GET admin/billing",
    "GET admin/transaction/{tx_id}",
    "POST admin/resend-receipt",
    "GET admin/disputes",
    "POST admin/disputes/{dispute_id}/decide",
    "GET admin/chargebacks",
    "GET admin/payouts",
    "POST admin/payouts/{payout_id}/was-paid",
    "POST admin/payouts/{payout_id}/never-left",
    "GET admin/refunds",
    "POST admin/refunds",
}
AGENTS = {
    "POST nodes/pods/{pod}/{epoch}/chunks/missing",
    "PUT nodes/pods/{pod}/{epoch}/chunks/{digest}",
    "GET nodes/pods/{pod}/{epoch}/chunks/{digest}",
    "POST nodes/pods/{pod}/{epoch}/checkpoints",
    "GET nodes/pods/{pod}/{epoch}/checkpoints/latest",
}


Body = Callable[[Theirs], Any]


def nothing(theirs: Theirs) -> None:
    return None


def config_only(theirs: Theirs) -> Any:
    return {"config": theirs.config_id}


# Names a row of an organisation. The body is valid, so that only the row's owner can be the reason of a refusal.
ROWS: dict[str, Body] = {
    "GET organisations/{organisation_id}": nothing,
    "PATCH organisations/{organisation_id}": lambda theirs: {"name": "Mine"},
    "GET organisations/{organisation_id}/members": nothing,
    "PATCH organisations/{organisation_id}/members/{member_id}": lambda theirs: {"role": "viewer"},
    "DELETE organisations/{organisation_id}/members/{member_id}": nothing,
    "POST organisations/{organisation_id}/leave": nothing,
    "GET organisations/{organisation_id}/audit": nothing,
    "POST invitations/accept": lambda theirs: {"token": "inv_unknown"},
    "DELETE invitations/{invitation_id}": nothing,
    "DELETE auth/api-keys/{key_id}": nothing,
    "GET config/pods/{config_id}": nothing,
    "PATCH config/pods/{config_id}": lambda theirs: {"name": "mine"},
    "DELETE config/pods/{config_id}": nothing,
    "POST deployment/estimate": config_only,
    "POST deployment/validate": config_only,
    "POST deployment/deploy": config_only,
    "POST deployment/activate/{config_id}": nothing,
    "GET deployment/pods/{pod_id}": nothing,
    "POST deployment/pods/{pod_id}/action": lambda theirs: {"action": "terminate"},
    "GET pods/{pod_id}/events": nothing,
    "GET pods/{pod_id}/logs": nothing,
    "GET pods/{pod_id}/metrics": nothing,
    "GET pods/{pod_id}/receipt": nothing,
    "GET provider-accounts/{account_id}": nothing,
    "PATCH provider-accounts/{account_id}": lambda theirs: {"name": "mine"},
    "DELETE provider-accounts/{account_id}": nothing,
    "GET billing/receipts/{payment_id}": nothing,
    "POST billing/payment-methods/{card_id}/default": nothing,
    "DELETE billing/payment-methods/{card_id}": nothing,
    "GET billing/invoices/{invoice_id}": nothing,
    "GET billing/invoices/{invoice_id}/pdf": nothing,
    "PATCH nodes/{node_id}": lambda theirs: {"price_per_hour": "0.05"},
    "GET jobs/{pod_id}/checkpoints": nothing,
    "GET disputes/claims/{pod_id}": nothing,
    "POST disputes/": lambda theirs: {"pod_id": theirs.pod_id, "reason": "other", "text": "It stood still."},
    "GET disputes/{dispute_id}": nothing,
    "POST disputes/{dispute_id}/answer": lambda theirs: {"text": "It ran."},
    "POST disputes/{dispute_id}/appeal": lambda theirs: {"text": "It ran."},
    "POST disputes/{dispute_id}/evidence": nothing,
    "GET disputes/{dispute_id}/evidence/{evidence_id}": nothing,
    "DELETE wallets/links/{wallet_id}": nothing,
    "GET payouts/{payout_id}": nothing,
    "POST payouts/{payout_id}/cancel": nothing,
    "DELETE payouts/methods/{way_id}": nothing,
    "GET wallets/withdrawals/{withdrawal_id}": nothing,
    "POST wallets/withdrawals/{withdrawal_id}/cancel": nothing,
}
# Public in the OpenAPI, but bound to the session in which the payment began.
SESSION_ROWS: dict[str, Body] = {
    "POST admin/public/payment/paypal": lambda theirs: {"enrolment": theirs.enrolment_id},
    "POST admin/public/payment/paypal/capture/{order_id}": nothing,
    "GET admin/public/payment/paypal/status": nothing,
}
STAFF_BODIES: dict[str, Body] = {
    "POST admin/pod/destroy": lambda theirs: {"pod_id": theirs.pod_id},
    "POST admin/pod/start": lambda theirs: {"pod_id": theirs.pod_id},
    "POST admin/resend-receipt": lambda theirs: {"payment_id": theirs.payment_id},
    "POST admin/disputes/{dispute_id}/decide": lambda theirs: {"refund": "0", "note": "It ran."},
    "POST admin/payouts/{payout_id}/was-paid": lambda theirs: {"ref": "0", "reason": "Seen there."},
    "POST admin/payouts/{payout_id}/never-left": lambda theirs: {"reason": "Not there."},
    "POST admin/refunds": lambda theirs: {"payment_id": theirs.payment_id, "amount": "1.00", "reason": "asked for"},
}


def all_routes() -> dict[str, bool]:
    """`METHOD path` → does it ask who calls?"""
    found = {}
    for path, operations in api.get_openapi_schema()["paths"].items():
        for method, operation in operations.items():
            found[f"{method.upper()} {path.removeprefix(API)}"] = bool(operation.get("security"))
    return found


def call(caller: Caller, route: str, theirs: Theirs, body: Any = None, **headers: str) -> Any:
    method, path = route.split(" ", 1)
    values = theirs._asdict() | {"pod": uuid4(), "epoch": 1, "digest": "0" * 64, "month": "2026-01"}
    query = "?order_id=ORDER1" if path.endswith("paypal/status") else ""
    sent = {"Idempotency-Key": uuid4().hex, **headers}
    return caller.api(method, path.format(**values) + query, body, sent)


def refused(answer: Any, *statuses: int) -> bool:
    return answer.status_code in statuses and bool(answer.json()["error"]["code"])


def test_every_route_stands_in_a_table() -> None:
    tables = [PUBLIC, OWN, STAFF, AGENTS, set(ROWS), set(SESSION_ROWS)]
    listed = set().union(*tables)
    assert len(listed) == sum(len(table) for table in tables), "a route stands in two tables"
    routes = set(all_routes())
    assert routes - listed == set(), "new routes: put each into the table where it belongs"
    assert listed - routes == set(), "routes that are no more"


def test_only_the_public_ones_ask_for_nobody() -> None:
    open_routes = {route for route, secured in all_routes().items() if not secured}
    assert open_routes == PUBLIC | set(SESSION_ROWS)


def test_nobody_gets_nothing(theirs: Theirs, anonymous: Caller) -> None:
    before = state()
    wrong = []
    for route in sorted(OWN | STAFF | AGENTS | set(ROWS)):
        body = (ROWS | STAFF_BODIES).get(route, nothing)(theirs)
        for headers in ({}, {"Authorization": "Bearer rubbish"}, {"X-API-Key": "gbk_rubbish"}):
            answer = call(anonymous, route, theirs, body, **headers)
            if not refused(answer, 401):
                wrong.append((route, headers, answer.status_code, answer.content))
    assert wrong == []
    assert state() == before


def test_outsider_finds_nothing(theirs: Theirs, outsider: Person) -> None:
    before = state()
    wrong = []
    for route, body in ROWS.items():
        for headers in ({}, {"X-Organisation": theirs.organisation_id}):
            answer = call(outsider, route, theirs, body(theirs), **headers)
            if not refused(answer, 404):
                wrong.append((route, headers, answer.status_code, answer.content))
    assert wrong == []
    assert state() == before


def test_outsider_cannot_choose_the_organisation(theirs: Theirs, outsider: Person) -> None:
    before = state()
    wrong = []
    for route in sorted(OWN - {"POST auth/logout"}):
        answer = call(outsider, route, theirs, None, **{"X-Organisation": theirs.organisation_id})
        if not refused(answer, 404):
            wrong.append((route, answer.status_code, answer.content))
    assert wrong == []
    assert state() == before


def test_customers_are_no_staff_and_no_agents(theirs: Theirs, owner: Person, outsider: Person) -> None:
    before = state()
    wrong = []
    for person in (owner, outsider):
        for route in sorted(STAFF | AGENTS):
            answer = call(person, route, theirs, STAFF_BODIES.get(route, nothing)(theirs))
            if not refused(answer, *((401,) if route in AGENTS else (403, 404))):
                wrong.append((route, answer.status_code, answer.content))
    assert wrong == []
    assert state() == before


def test_other_sessions_find_no_payment(theirs: Theirs, outsider: Person, anonymous: Caller) -> None:
    before = state()
    wrong = []
    for caller in (anonymous, outsider):
        for route, body in SESSION_ROWS.items():
            answer = call(caller, route, theirs, body(theirs))
            if not refused(answer, 404):
                wrong.append((route, answer.status_code, answer.content))
    assert wrong == []
    assert state() == before


def test_outsiders_lists_hold_nothing_of_theirs(theirs: Theirs, outsider: Person) -> None:
    """Own lists answer, and no id of the other organisation stands in any of them."""
    ids = {
        theirs.pod_id,
        theirs.config_id,
        theirs.account_id,
        theirs.payment_id,
        theirs.key_id,
        theirs.member_id,
        theirs.invoice_id,
    }
    for route in sorted(route for route in OWN if route.startswith("GET ")):
        answer = call(outsider, route, theirs)
        assert answer.status_code == 200, (route, answer)
        text = answer.getvalue().decode()
        assert not [found for found in (*ids, theirs.organisation_id, theirs.email) if found in text], route
