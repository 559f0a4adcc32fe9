"""The month of an operator: its figures are the ledger's, to the last unit."""

from __future__ import annotations

import csv
from decimal import Decimal
from io import StringIO

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from accounts.models import Organisation
from billing.accounts import Kind, account_of
from billing.models import Transfer
from billing.payouts import requesting, sending, statements
from lib.clock import now
from lib.errors import NotFound
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.people import Person


def month_of_rows() -> str:
    return f"{Transfer.objects.order_by('created_at').first().created_at:%Y-%m}"  # type: ignore[union-attr]


def test_figures_are_the_ledgers(owner: Person, organisation: Organisation, outsider: Person, paypal: str) -> None:
    """Sums that do not divide: 85 % is rounded for each usage, and the statement adds up what was posted."""
    nets = [earn(organisation, paid, pod=pod) for paid, pod in (("33.333333", "a"), ("0.000007", "a"), ("91.1", "b"))]
    earn(outsider.organisation, "500")
    can_be_paid(owner)
    with later():
        payout = sending.bring_up(sending.bring_up(ask(owner, "40").pk).pk)
        requesting.move_to_wallet(organisation=organisation, amount="10.5", actor=owner.actor, key="k")
        ask(owner, "11")  # only held: not part of it yet
        statement = statements.statement_of(organisation, month_of_rows())
    account = account_of(organisation, Kind.EARNINGS, "USD")
    account.refresh_from_db()
    assert payout.status == "paid"
    assert statement.gross == Decimal("124.433340")
    assert statement.net == sum(nets)
    assert statement.fee == statement.gross - sum(nets)
    moved = [statement.opening, statement.paid_out, statement.moved, statement.other]
    assert moved == [0, 40, Decimal("10.5"), 0]
    assert statement.closing == account.credits_posted - account.debits_posted
    assert [(line.cause, line.memo, line.net) for line in statement.lines[:2]] == [
        ("usage", "a", nets[0] + nets[1]),
        ("usage", "b", nets[2]),
    ]
    assert {line.cause for line in statement.lines[2:]} == {"payout", "earnings_to_wallet"}


def test_one_month_opens_as_the_one_before_closed(organisation: Organisation) -> None:
    earn(organisation, "10")
    month = month_of_rows()
    first = statements.statement_of(organisation, month)
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12}-{number % 12 + 1:02d}"
    with pytest.raises(NotFound):
        statements.statement_of(organisation, following)
    with freeze_time(f"{following}-15T12:00:00Z"):
        second = statements.statement_of(organisation, following)
        assert [f"{one:%Y-%m}" for one in statements.months_of(organisation)] == [following, month]
    assert (second.opening, second.closing, second.lines) == (first.closing, first.closing, [])
    assert first.closing == Decimal("8.5")


def test_what_came_before_is_not_read(organisation: Organisation) -> None:
    """The account may have years of movements: each look at them has an index's range."""
    earn(organisation, "10")
    with CaptureQueriesContext(connection) as asked:
        statements.statement_of(organisation, month_of_rows())
    looks = [query["sql"] for query in asked if 'FROM "billing_transfer"' in query["sql"]]
    month = [sql for sql in looks if "LIMIT 1" not in sql]
    assert month
    assert all('"created_at" >= ' in sql for sql in month)


@pytest.mark.parametrize(
    "month", ["", "2026", "2026-13", "2026-00", "1999-01", "2099-01", "x", "2026-1", "２０２６-01"]
)
def test_no_such_month(organisation: Organisation, month: str) -> None:
    with pytest.raises(NotFound):
        statements.statement_of(organisation, month)


def test_the_file_and_the_page_say_the_same(owner: Person, organisation: Organisation) -> None:
    earn(organisation, "33.333333", pod="trainer")
    month = month_of_rows()
    page = owner.client.get(f"/billing/earnings/statements/{month}/").content.decode()
    assert "$28.333333" in page
    assert "trainer" in page
    answer = owner.client.get(f"/billing/earnings/statements/{month}.csv")
    assert answer["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(StringIO(answer.getvalue().decode())))
    assert [row["what"] for row in rows] == ["opening_balance", "usage", "closing_balance"]
    assert (rows[1]["gross_usd"], rows[1]["fee_usd"], rows[1]["net_usd"]) == ("33.333333", "5.000000", "28.333333")
    told = owner.api("get", f"payouts/statements/{month}").json()
    assert told["closing"] == {"amount": "28.333333", "currency": "USD"}
    assert told["lines"][0]["memo"] == "trainer"
    assert owner.client.get("/billing/earnings/statements/2026-13/").status_code == 404
    assert owner.api("get", "payouts/statements/nonsense").status_code == 404


def test_the_file_does_nothing_in_a_spreadsheet(owner: Person, organisation: Organisation) -> None:
    earn(organisation, "10", pod="=1+1")
    answer = owner.client.get(f"/billing/earnings/statements/{month_of_rows()}.csv")
    assert answer["Cache-Control"] == "private"
    rows = list(csv.DictReader(StringIO(answer.getvalue().decode())))
    assert (rows[1]["reference"], rows[1]["net_usd"]) == ("'=1+1", "8.500000")


def test_a_month_before_any_earnings(organisation: Organisation) -> None:
    statement = statements.statement_of(organisation, f"{now():%Y-%m}")
    assert [statement.opening, statement.closing, len(statement.lines)] == [0, 0, 0]
    assert statements.months_of(organisation) == []
