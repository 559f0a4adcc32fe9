"""The billing page and the list of transactions: what moved, by day and one by one."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from accounts.models import Organisation
from billing import ledger, usage, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.usage import NextHold
from lib.clock import now
from tests.billing.money import fund, leg
from tests.people import Person


def spend(organisation: Organisation, operator: Organisation, times: int) -> None:
    held = uuid4()
    usage.reserve(organisation, payer="wallet", currency="USD", amount=Decimal(1), source_id="p", hold_id=held)
    for _ in range(times):
        coming = NextHold(uuid4(), Decimal(1))
        usage.settle(
            held, organisation=organisation, currency="USD", usage_id=uuid4(), amount=Decimal("0.1"),
            operator=operator, provider_slug="catalyst", keep_open=coming, memo="trainer",
        )  # fmt: skip
        held = coming.hold_id


def test_the_page_sums_a_day_of_usage(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    fund(organisation, "20")
    spend(organisation, operator, 3)
    page = owner.client.get("/billing/").content.decode()
    assert "$19.70" not in page  # one dollar is held
    assert "$18.70" in page
    assert "−$0.30" in page
    assert page.count("trainer") == 1
    assert "at $4.00 per hour" in page
    rows = [(row["memo"], row["total"], row["count"]) for row in wallet.statement(organisation, now())]
    assert rows == [("trainer", Decimal("-0.300000"), 3), ("", Decimal(20), 1)]


def test_an_empty_page_and_odd_months(owner: Person, organisation: Organisation) -> None:
    for query in ("", "?month=2026-01", "?month=2026-13", "?month=x&page=99", "?page=-1", "?month=2000-01"):
        page = owner.client.get(f"/billing/{query}")
        assert page.status_code == 200
    fund(organisation, "5")
    assert wallet.statement(organisation, now() - timedelta(days=40)).count() == 0


def test_transactions_page_by_page(owner: Person, organisation: Organisation) -> None:
    fund(organisation, "5")
    other = account_of(None, Kind.REVENUE, "USD")
    ledger.post([leg(wallet_of(organisation, "USD"), other, "0.01", source_id=str(n)) for n in range(10)])
    seen: list[str] = []
    cursor = ""
    while True:
        page = owner.api("get", f"wallets/transactions?limit=4{cursor}").json()
        seen += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 11


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=abc",
        "cursor=~",
        "cursor=2026-01-01~zz",
        "cursor=0001-01-01T00:00:00%2B14:00~00000000000000000000000000000000",
    ],
)
def test_bad_paging(owner: Person, query: str) -> None:
    assert owner.api("get", f"wallets/transactions?{query}").status_code == 422


def test_roles(
    owner: Person, billing_member: Person, admin: Person, member: Person, viewer: Person, outsider: Person
) -> None:
    for route in ("wallets/balance", "wallets/transactions", "credits/", "billing/payments", "billing/subscription"):
        for person in (owner, billing_member, admin, outsider):
            assert person.api("get", route).status_code == 200
        for person in (member, viewer):
            assert person.api("get", route).status_code == 403
    assert member.client.get("/billing/").status_code == 403


def test_runway_has_no_overflow(organisation: Organisation) -> None:
    fund(organisation, "90000000")
    assert wallet.runway(organisation, Decimal("0.000001")) == timedelta(days=3650)
    assert wallet.runway(organisation, Decimal(0)) is None
    assert usage.can_go_on(organisation, "USD")
