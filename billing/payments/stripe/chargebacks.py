"""Stripe's disputes in the words of `payments/base.py`: what it took and gave back stands in their balance transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import stripe

from billing.payments.base import ChargebackState, RemoteChargeback
from billing.payments.stripe.client import dollars, once, plain, understand
from billing.payments.stripe.listing import pages
from lib.clock import now

Body = dict[str, Any]
STATE: dict[str, ChargebackState] = {
    "warning_needs_response": "warning_needs_response",
    "warning_under_review": "warning_under_review",
    "warning_closed": "warning_closed",
    "prevented": "warning_closed",  # settled before it became a dispute
    "needs_response": "needs_response",
    "under_review": "under_review",
    "won": "won",
    "lost": "lost",
}


class StripeChargebacks:
    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def fetch_chargeback(self, ref: str) -> RemoteChargeback:
        asked_at = now()
        return understand(lambda: _read(plain(self._api.disputes.retrieve(ref)), asked_at))

    def chargebacks_since(self, moment: datetime) -> Iterator[RemoteChargeback]:
        asked_at = now()

        def ask(asked: Any) -> Body:
            nonlocal asked_at
            asked_at = now()  # a page is asked for when the one before is worked through
            return plain(self._api.disputes.list(asked))

        for body in pages(ask, {"created": {"gte": int(moment.timestamp())}}):
            yield understand(lambda body=body: _read(body, asked_at))  # type: ignore[misc]

    def send_evidence(self, ref: str, evidence: Mapping[str, str], *, request_id: str) -> RemoteChargeback:
        asked_at = now()
        body: Any = {"evidence": dict(evidence), "submit": True}
        return understand(lambda: _read(plain(self._api.disputes.update(ref, body, once(request_id))), asked_at))

    def accept_chargeback(self, ref: str, *, request_id: str) -> RemoteChargeback:
        asked_at = now()
        return understand(lambda: _read(plain(self._api.disputes.close(ref, None, once(request_id))), asked_at))


def _read(body: Body, asked_at: datetime) -> RemoteChargeback:
    currency = str(body["currency"]).upper()
    entries = [_entry(entry, currency) for entry in body["balance_transactions"]]
    due = body["evidence_details"]["due_by"]
    return RemoteChargeback(
        ref=str(body["id"]),
        capture_ref=str(body["charge"]),
        state=STATE[body["status"]],
        reason=str(body["reason"])[:48],
        amount=dollars(body["amount"]),
        currency=currency,
        opened_at=datetime.fromtimestamp(int(body["created"]), UTC),
        due_at=datetime.fromtimestamp(int(due), UTC) if due else None,
        asked_at=asked_at,
        withdrawn=-sum((amount for amount, _fee in entries if amount < 0), Decimal(0)),
        returned=sum((amount for amount, _fee in entries if amount > 0), Decimal(0)),
        fee=sum((fee for _amount, fee in entries), Decimal(0)),
    )


def _entry(body: Body, currency: str) -> tuple[Decimal, Decimal]:
    """What came or went, and what Stripe kept of it beside."""
    if str(body["currency"]).upper() != currency:
        raise ValueError("one currency")
    return dollars(body["amount"]), dollars(body["fee"])
