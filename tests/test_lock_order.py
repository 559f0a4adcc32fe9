"""What watches the order of locks finds what it looks for, and nothing else."""

from __future__ import annotations

import pytest
from django.db import transaction

from accounts import actor as actors
from accounts import audit
from accounts.models import Organisation
from tests.billing.money import fund
from tests.lock_order import taken_in_wrong_order


def record(organisation: Organisation) -> None:
    audit.record(organisation.pk, actors.worker("test"), "test.record")


def test_the_audit_log_before_the_ledger_is_found(organisation: Organisation) -> None:
    with transaction.atomic():
        record(organisation)
        fund(organisation, "1")
    [where] = taken_in_wrong_order()
    assert "test_lock_order.py" in where


def test_the_ledger_before_the_audit_log_is_right(organisation: Organisation) -> None:
    for _transaction in range(2):
        with transaction.atomic():
            fund(organisation, "1")
            record(organisation)
    assert taken_in_wrong_order() == []


@pytest.mark.django_db(transaction=True)
def test_two_transactions_may_do_one_each(organisation: Organisation) -> None:
    record(organisation)
    fund(organisation, "1")
    assert taken_in_wrong_order() == []
