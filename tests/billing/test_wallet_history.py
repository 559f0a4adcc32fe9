"""All movements of a wallet: signed, with the balance after each, page by page and as a file."""

from __future__ import annotations

import asyncio
import csv
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import AsyncClient

from accounts.models import Organisation
from billing import history, ledger
from billing.accounts import wallet_of
from billing.history import Wanted
from lib.clock import now
from lib.errors import Invalid
from lib.spreadsheets import plain
from tests.billing.money import fund, leg, opening
from tests.people import Person


@pytest.fixture
def funded(owner: Person) -> Organisation:
    """100 in, then ten times 1.5 out, and 3 USDC."""
    assert owner.organisation is not None
    fund(owner.organisation, "100")
    for _number in range(10):
        spend(owner.organisation, "1.5")
    fund(owner.organisation, "3", "USDC")
    return owner.organisation


def spend(organisation: Organisation, amount: str, **columns: Any) -> None:
    ledger.post([leg(wallet_of(organisation, "USD"), opening(), amount, **columns)])


def read(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(text.splitlines()))


def test_pages_hold_every_row_once_with_its_balance(owner: Person, funded: Organisation) -> None:
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = owner.api("get", f"wallets/transactions?limit=3&currency=USD{cursor}").json()
        seen += answer["items"]
        if answer["next"] is None:
            break
        spend(funded, "0.25")  # what comes meanwhile moves no page
        cursor = f"&cursor={answer['next']}"
    assert len({row["id"] for row in seen}) == len(seen) == 11
    amounts = [Decimal(row["amount"]["amount"]) for row in seen]
    balances = [Decimal(row["balance"]["amount"]) for row in seen]
    assert amounts == [Decimal("-1.5")] * 10 + [Decimal(100)]
    assert balances == [85 + Decimal("1.5") * number for number in range(11)]


def test_the_file_is_the_same_oldest_first(owner: Person, funded: Organisation) -> None:
    rows = read(owner.client.get("/billing/history.csv"))
    assert [(row["amount"], row["balance"], row["currency"]) for row in rows[:2]] == [
        ("100.000000", "100.000000", "USD"),
        ("-1.500000", "98.500000", "USD"),
    ]
    assert (rows[-1]["balance"], rows[-1]["currency"]) == ("3.000000", "USDC")
    assert len(rows) == 12
    assert datetime.fromisoformat(rows[0]["at"]).utcoffset() == UTC.utcoffset(None)
    by_api = owner.client.get("/api/v2/wallets/transactions.csv")
    assert [row["id"] for row in read(by_api)] == [row["id"] for row in rows]
    assert by_api["Content-Type"].startswith("text/csv")


def test_only_the_days_that_were_asked_for(owner: Person, funded: Organisation) -> None:
    today = now().date().isoformat()
    assert len(read(owner.client.get(f"/billing/history.csv?since={today}&until={today}"))) == 12
    assert read(owner.client.get("/billing/history.csv?until=2020-01-01")) == []
    assert len(read(owner.client.get("/billing/history.csv?currency=USDC"))) == 1
    assert owner.api("get", "wallets/transactions?since=2999-01-01").json() == {"items": [], "next": None}
    assert list(history.rows(funded, Wanted(until=date.max)))


def test_held_money_is_still_in_the_balance(owner: Person, funded: Organisation) -> None:
    hold = {"state": "pending", "expires_at": datetime(2999, 1, 1, tzinfo=UTC)}
    spend(funded, "20", **hold)
    newest = owner.api("get", "wallets/transactions?limit=1&currency=USD").json()["items"][0]
    assert newest["balance"]["amount"] == "85.000000"


@pytest.mark.parametrize(
    ("written", "safe"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@cmd", "'@cmd"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("job-1", "job-1"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(owner: Person, funded: Organisation, written: str, safe: str) -> None:
    assert plain(written) == safe
    spend(funded, "1", memo=written)
    assert read(owner.client.get("/billing/history.csv?currency=USD"))[-1]["memo"] == safe


@pytest.mark.parametrize("query", ["currency=EUR", "since=yesterday", "since=2026-02-02&until=2026-02-01"])
def test_wrong_filters_are_refused(owner: Person, funded: Organisation, query: str) -> None:
    assert owner.client.get(f"/billing/history/?{query}").status_code == 422
    assert owner.client.get(f"/billing/history.csv?{query}").status_code == 422
    assert owner.api("get", f"wallets/transactions?{query}").status_code == 422
    assert owner.api("get", f"wallets/transactions.csv?{query}").status_code == 422


def test_a_made_up_cursor_is_refused(owner: Person, funded: Organisation) -> None:
    assert owner.client.get("/billing/history/?before=x").status_code == 422
    assert owner.api("get", f"wallets/transactions?cursor=9999-99-99~{uuid4().hex}").status_code == 422
    with pytest.raises(Invalid):
        history.page(funded, Wanted(), limit=0, cursor=None)


def test_by_page(owner: Person, member: Person, funded: Organisation) -> None:
    for _number in range(50):
        spend(funded, "0.5")
    first = owner.client.get("/billing/history/?currency=USD").content.decode()
    assert "−$0.500000" in first
    older = first.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = owner.client.get(f"/billing/history/{older}").content.decode()
    assert "+$100.000000" in second
    assert 'rel="next"' not in second
    assert member.client.get("/billing/history/").status_code == 403
    assert member.client.get("/billing/history.csv").status_code == 403


def test_the_balances_of_an_open_page_follow(owner: Person, funded: Organisation) -> None:
    assert 'hx-trigger="live:payment.changed' in owner.client.get("/billing/").content.decode()
    fragment = owner.client.get("/billing/", headers={"HX-Request": "true"}).content.decode()
    assert "$85.00" in fragment
    assert "<html" not in fragment


@pytest.mark.django_db(transaction=True)
def test_a_server_with_an_event_loop_sends_it_in_parts(owner: Person, funded: Organisation) -> None:
    async def fetch() -> str:
        client = AsyncClient()
        await client.aforce_login(owner.user, backend="django.contrib.auth.backends.ModelBackend")
        answer: Any = await client.get("/billing/history.csv")
        return b"".join([chunk async for chunk in answer.streaming_content]).decode()

    assert len(asyncio.run(fetch()).splitlines()) == 13


def test_the_page_writes_days_in_words_and_leads_to_receipts(owner: Person, organisation: Organisation) -> None:
    columns = {"source_type": "payment", "memo": "pay_1"}
    ledger.post([leg(opening(), wallet_of(organisation, "USD"), "25", **columns)])
    page = owner.client.get("/billing/history/").content.decode()
    assert f"{now():%b %Y}, " in page
    assert 'href="/billing/receipts/pay_1/"' in page
