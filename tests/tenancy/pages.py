"""All pages by who may see them. A new one fails in test_pages.py until it stands in one of these tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from tests.tenancy.rows import Theirs

# Open to everybody: they show no customer's rows, or only those of the browser's own session.
PUBLIC = {
    "",
    "market/",
    "market/offers.csv",
    "offers/<str:offer_id>/",
    "gpus/",
    "gpus/<slug:slug>/",
    "providers/",
    "plans/",
    "terms/",
    "privacy/",
    "cookies/",
    "deploy/",
    "checkout/",
    "activate/",
    "mailbox/",
    "mailbox/asked/",
    "r/<slug:code>/",
    "health",
    "readiness",
    "theme/",
    "i18n/setlang/",
    # What the mailed token opens, to whoever has it.
    "invitations/<str:token>/",
}
# With METRICS_TOKEN, or from this machine while there is none.
OPERATORS = {"metrics"}
# Of the person who is signed in, and of the organisation in which they work.
OWN = {
    "dashboard/",
    "pods/",
    "activity/",
    "nodes/",
    "settings/",
    "settings/security/",
    "settings/organisation/",
    "settings/organisation/new/",
    "settings/organisation/leave/",
    "settings/members/",
    "settings/keys/",
    "settings/audit/",
    "inbox/",
    "inbox/read/",
    "billing/",
    "billing/top-up/",
    "billing/alerts/",
    "billing/auto-top-up/",
    "billing/history/",
    "billing/history.csv",
    "billing/invoices/",
    "billing/details/",
    "billing/credits/",
    "billing/limits/",
    "billing/earnings/",
    "billing/earnings/payout/",
    "billing/earnings/move/",
    "billing/earnings/payee/",
    "billing/earnings/stripe/",
    "billing/earnings/methods/<slug:kind>/",
    "billing/earnings/statements/<str:month>/",
    "billing/earnings/statements/<str:month>.csv",
    "billing/referrals/",
    "billing/disputes/",
    "billing/plan/",
    "billing/plan/choose/",
    "billing/plan/change/",
    "billing/plan/cancel/",
    "billing/plan/resume/",
    "billing/methods/",
    "billing/usdc/",
    "billing/usdc/message/",
    "billing/usdc/link/",
    "billing/usdc/faucet/",
    "billing/usdc/withdraw/",
    "organisations/switch/",
    "staff/act-for/end/",
}
# Names a row: example ids stand in `Theirs`, other parts in EXAMPLES.
ROWS = {
    "pods/<str:pod_id>/",
    "pods/<str:pod_id>/logs.txt",
    "pods/<str:pod_id>/tab/<slug:tab>/",
    "pods/<str:pod_id>/<slug:act>/",
    "nodes/<str:node_id>/price/",
    "settings/security/sign-ins/<str:sign_in_id>/end/",
    "settings/members/<str:member_id>/role/",
    "settings/members/<str:member_id>/remove/",
    "settings/invitations/<str:invitation_id>/revoke/",
    "settings/keys/<str:key_id>/revoke/",
    "inbox/<str:message_id>/",
    "billing/return/<str:payment_id>/",
    "billing/receipts/<str:payment_id>/",
    "billing/invoices/<str:invoice_id>.pdf",
    "billing/methods/<str:card_id>/default/",
    "billing/methods/<str:card_id>/remove/",
    "billing/disputes/open/<str:pod_id>/",
    "billing/disputes/<str:dispute_id>/",
    "billing/disputes/<str:dispute_id>/answer/",
    "billing/disputes/<str:dispute_id>/appeal/",
    "billing/disputes/<str:dispute_id>/evidence/",
    "billing/disputes/<str:dispute_id>/evidence/<str:evidence_id>/",
    "billing/earnings/payouts/<str:payout_id>/cancel/",
    "billing/earnings/methods/<str:way_id>/default/",
    "billing/earnings/methods/<str:way_id>/remove/",
    "billing/usdc/wallets/<str:wallet_id>/unlink/",
    "billing/usdc/withdrawals/<str:withdrawal_id>/cancel/",
}
# Of the enrolment that this browser began; for others there is none.
JOURNEY = {
    "checkout/<str:enrolment_id>/pay/",
    "checkout/<str:enrolment_id>/returned/",
    "checkout/mail/",
    "checkout/mail/again/",
    "provisioning/",
    "provisioning/again/",
    "ready/",
}
STAFF = {
    "staff/",
    "staff/act-for/",
    "staff/disputes/",
    "staff/disputes/<str:dispute_id>/",
    "staff/disputes/<str:dispute_id>/decide/",
    "staff/disputes/<str:dispute_id>/evidence/<str:evidence_id>/",
    "staff/chargebacks/",
    "staff/chargebacks/<str:chargeback_id>/",
    "staff/chargebacks/<str:chargeback_id>/evidence.txt",
    "staff/chargebacks/<str:chargeback_id>/submit/",
    "staff/chargebacks/<str:chargeback_id>/accept/",
    "staff/payouts/",
    "staff/payouts/bank-file/",
    "staff/payouts/bank-file/<str:file_id>.xml",
    "staff/payouts/bank-file/<str:file_id>/paid/",
    "staff/payouts/payees/<str:organisation_id>/<slug:act>/",
    "staff/payouts/<str:payout_id>/<slug:act>/",
    "staff/reconciliation/",
    "staff/reconciliation/run/",
    "staff/reconciliation/<uuid:case_id>/resolve/",
    "staff/costs/",
    "staff/customers/",
    "staff/customers/<str:organisation_id>/",
    "staff/refunds/",
    "staff/transactions/",
    "staff/transactions/<str:tx_id>/",
}
# Signing up and in is allauth's; of its pages these are about somebody who is signed in.
ACCOUNT_OWN = {
    "account/email/",
    "account/password/change/",
    "account/password/set/",
    "account/2fa/",
    "account/2fa/totp/activate/",
    "account/2fa/totp/deactivate/",
    "account/2fa/recovery-codes/",
    "account/2fa/recovery-codes/generate/",
    "account/2fa/recovery-codes/download/",
    "account/3rdparty/",
}
EXAMPLES = {
    "tab": "logs",
    "act": "terminate",
    "case_id": "00000000-0000-0000-0000-000000000000",
    "chargeback_id": "cbk_0",
    "kind": "paypal",
    "month": "2026-01",
    "file_id": "bkf_0",
}
# A form that the owner could send: the row's owner is the only reason of a refusal.
FORM = {"role": "viewer", "name": "job"}


def addresses(patterns: list[Any], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        address = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern):
            yield address


ALL = set(addresses(get_resolver().url_patterns))
ADMIN = {address for address in ALL if address.startswith("admin/")}
ACCOUNT = {address for address in ALL if address.startswith("account/")}
PAGES = {address for address in ALL if not address.startswith(("admin/", "account/", "api/"))}


def fill(address: str, theirs: Theirs, others: Mapping[str, str] = EXAMPLES) -> str:
    """`pods/<str:pod_id>/` with an id of theirs in it."""
    known = theirs._asdict() | EXAMPLES | dict(others)
    for name in names_in(address):
        assert name in known, f"add an example id for <{name}> of {address}, to Theirs or EXAMPLES"
        kind = next(kind for kind in ("str", "slug", "int", "uuid") if f"<{kind}:{name}>" in address)
        address = address.replace(f"<{kind}:{name}>", str(known[name]))
    return "/" + address


def names_in(address: str) -> list[str]:
    return [part.split(":")[1].split(">")[0] for part in address.split("<")[1:]]
