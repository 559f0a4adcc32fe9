"""Pages get nonsense in every field of every form and filter: a refusal beside the field, a 4xx, never a 500."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache

from accounts.models import Organisation
from tests.people import Person
from tests.tenancy.pages import JOURNEY, OWN, PUBLIC, ROWS, STAFF, fill
from tests.tenancy.rows import make_rows
from tests.undone import undone

NONSENSE = [
    "",
    "0",
    "-1",
    "0.0000000000001",
    "1e400",
    "nan",
    "99999999999999999999999",
    "\x00",
    "é" * 5000,
    "../..",
    "{}",
    "<b>",
    "2026-13",
    "١٢",
    "off_" + "0" * 26,
]
# Every name that a form or a filter reads; those that a page does not know are nothing to it.
FIELDS = [
    "gpu",
    "q",
    "vram",
    "min_vram_gb",
    "max_vram_gb",
    "count",
    "min_count",
    "max_price",
    "price",
    "provider",
    "providers",
    "region",
    "country",
    "exclude_region",
    "kind",
    "source",
    "reliability",
    "vcpus",
    "ram_gb",
    "disk_gb",
    "net",
    "sort",
    "ranking",
    "weights",
    "w_price",
    "w_perf",
    "page",
    "limit",
    "egress_gb",
    "hours",
    "rentable",
    "unverified",
    "days",
    "month",
    "cursor",
    "status",
    "tab",
    "offer",
    "plan",
    "template",
    "token",
    "name",
    "payer",
    "organisation",
    "next",
    "role",
    "email",
    "key",
    "scopes",
    "expires_in",
    "theme",
    "language",
    "time_zone",
    "currency",
    "amount",
    "refund",
    "note",
    "reason",
    "text",
    "owner",
    "legal_name",
    "tax_form",
    "pays_weekly",
    "holder",
    "iban",
    "bic",
    "method",
    "wallet",
    "chain",
    "address",
    "message",
    "signature",
    "preset",
    "period",
    "identity",
    "identity_kind",
    "gpu_query",
    "gpu_count",
    "env",
    "ports",
    "command",
    "image",
    "restart_policy",
    "spend_cap",
    "max_price_per_hour",
    "ttl_hours",
    "provider_account",
]
EXAMPLES = {"offer_id": "off_" + "0" * 26, "slug": "h100-sxm-80", "token": "inv_unknown", "code": "nosuchcode"}
PLACES = ("offers", "gpus", "pods", "invitations", "billing/receipts", "billing/return", "checkout", "no-such-page")
# Says 503 while parts of the installation are not there, as in a test.
NOT_READY = "readiness"


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: ascii(text[:12]))
def test_no_page_fails(text: str, organisation: Organisation, owner: Person, peer: Callable[[str], Any]) -> None:
    peer("paypal")
    peer("stripe")
    theirs = make_rows(organisation, owner)
    owner.client.raise_request_exception = False
    values = dict.fromkeys(FIELDS, text)
    problems = []
    for address in sorted((PUBLIC | OWN | ROWS | JOURNEY | STAFF) - {NOT_READY}):
        filled = fill(address, theirs, EXAMPLES)
        cache.delete_pattern("rate:*")  # type: ignore[attr-defined]
        for method in ("get", "post"):
            with undone():
                answer = getattr(owner.client, method)(filled, values)
            if answer.status_code >= 500:
                problems.append(f"{method} {address}: {answer.status_code}")
    assert problems == []


@pytest.mark.parametrize("part", ["x", "%00", "%ED%A0%80", "%FF", "a" * 3000, "off_1", "..%2F.."])
def test_nonsense_in_an_address_is_nothing(part: str, owner: Person, organisation: Organisation) -> None:
    owner.client.raise_request_exception = False
    answers = {place: owner.client.get(f"/{place}/{part}/").status_code for place in PLACES}
    assert set(answers.values()) <= {400, 404}, answers
