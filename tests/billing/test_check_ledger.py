"""`manage.py check_ledger` finds what somebody with the owner's rights has spoilt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest
from django.core.management import call_command

from accounts.models import Organisation
from billing import ledger, reconcile
from billing.accounts import Kind, account_of
from billing.models import Payment
from tests.billing.money import fund, leg, opening


@pytest.fixture
def books(transactional_db: None) -> Iterator[psycopg.Connection]:
    """A wallet of 10 that has paid 4; the owner's connection, whose deeds are undone afterwards."""
    organisation = Organisation.objects.create(name="x")
    wallet = fund(organisation, "10")
    ledger.post([leg(wallet, account_of(None, Kind.REVENUE, "USD"), "4")])
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE kept_accounts AS TABLE billing_account")
        owner.execute("CREATE TABLE kept_transfers AS TABLE billing_transfer")
        yield owner
        owner.execute("TRUNCATE billing_transfer, billing_account")
        owner.execute("INSERT INTO billing_account SELECT * FROM kept_accounts")
        owner.execute("INSERT INTO billing_transfer SELECT * FROM kept_transfers")
        owner.execute("DROP TABLE kept_accounts, kept_transfers")


@pytest.mark.parametrize(
    ("deed", "finding"),
    [
        ("UPDATE billing_account SET credits_posted = credits_posted + 1 WHERE kind = 'wallet'", "credits"),
        ("DELETE FROM billing_transfer WHERE amount = 4", "debits"),
        ("UPDATE billing_transfer SET amount = 5 WHERE amount = 4", "transfers say"),
        ("UPDATE billing_account SET currency = 'USDC' WHERE kind = 'revenue'", "between accounts"),
        ("UPDATE billing_account SET debits_pending = 1 WHERE kind = 'wallet'", "held"),
    ],
)
def test_finds(books: psycopg.Connection, deed: str, finding: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_ledger")
    assert "2 transfers" in capsys.readouterr().out
    books.execute(deed.encode())
    with pytest.raises(SystemExit) as ended:
        call_command("check_ledger")
    assert ended.value.code == 1
    assert finding in capsys.readouterr().err


def test_clearing_must_equal_the_payments(organisation: Organisation) -> None:
    Payment.objects.create(organisation=organisation, purpose="top_up", amount=Decimal(7), status="captured")
    assert reconcile.check_clearing() == ["clearing paypal USD: payments say 7.000000, the ledger 0"]
    clearing = account_of(None, Kind.CLEARING, "USD", label="paypal")
    ledger.post([leg(clearing, opening(), "7")])
    assert reconcile.check_clearing() == []
