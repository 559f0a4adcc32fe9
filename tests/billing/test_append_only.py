"""What was booked stays booked: the application's role cannot write the ledger except through its function."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of
from billing.models import Account, Transfer
from tests.billing.money import fund, leg

FORBIDDEN = [
    "UPDATE billing_transfer SET amount = 1",
    "DELETE FROM billing_transfer",
    "TRUNCATE billing_transfer CASCADE",
    "INSERT INTO billing_transfer SELECT * FROM billing_transfer",
    "UPDATE billing_account SET credits_posted = 1000000",
    "DELETE FROM billing_account",
    "TRUNCATE billing_account CASCADE",
    "ALTER TABLE billing_transfer DISABLE TRIGGER ALL",
    "DROP FUNCTION billing_refuse_change() CASCADE",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(organisation: Organisation, statement: str) -> None:
    fund(organisation, "10")
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert Transfer.objects.count() == 1


def test_the_models_have_no_way_round(organisation: Organisation) -> None:
    wallet = fund(organisation, "10")
    with pytest.raises(ProgrammingError), transaction.atomic():
        Transfer.objects.all().delete()
    with pytest.raises(ProgrammingError), transaction.atomic():
        Account.objects.filter(pk=wallet.pk).update(credits_posted=99)


GRANT = "UPDATE, DELETE, TRUNCATE ON billing_transfer, billing_account"


@pytest.fixture
def generous_owner(transactional_db: None) -> Iterator[None]:
    """The application's role gets by mistake what the migration took from it."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(f"GRANT {GRANT} TO gpubroker")
        yield
        owner.execute(f"REVOKE {GRANT} FROM gpubroker")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_transfer SET amount = 1",
        "DELETE FROM billing_transfer",
        "TRUNCATE billing_transfer CASCADE",
        "DELETE FROM billing_account",
        "TRUNCATE billing_account, billing_transfer CASCADE",
    ],
)
@pytest.mark.usefixtures("generous_owner")
def test_a_role_with_all_rights_is_refused_by_the_trigger(statement: str) -> None:
    wallet = fund(Organisation.objects.create(name="x"), "10")
    ledger.post([leg(wallet, account_of(None, Kind.REVENUE, "USD"), "1")])
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_row_itself_refuses_an_overdraft(transactional_db: None) -> None:
    """What stands behind the function, should it ever be wrong; tried as the owner, since the application cannot."""
    fund(Organisation.objects.create(name="x"), "10")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        for deed in (
            "UPDATE billing_account SET debits_posted = 11 WHERE kind = 'wallet'",
            "UPDATE billing_account SET debits_pending = 11 WHERE kind = 'wallet'",
        ):
            with pytest.raises(psycopg.errors.CheckViolation, match="account_no_overdraft"), owner.transaction():
                owner.execute(deed.encode())
