"""Two at once, or dead in between: a dispute is opened once and its money moves once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from freezegun import freeze_time

from accounts.models import Organisation
from billing import wallet
from billing.disputes import deciding
from billing.models import Dispute
from lib.clock import now
from lib.errors import AppError
from tests.billing.disputing import dispute_it, earnings, rent
from tests.people import Person

LATER = timedelta(days=7, minutes=1)


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def usd(organisation: Organisation) -> Any:
    return wallet.balance(organisation, "USD").available


def pass_time(after: timedelta = LATER) -> None:
    with freeze_time(now() + after):
        deciding.reconcile_disputes()


@pytest.mark.django_db(transaction=True)
def test_opened_twice_at_once(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    pod = rent(organisation, operator, ["1"])

    def work(_: int) -> str:
        try:
            return dispute_it(owner, pod).public_id
        except AppError as refusal:
            return refusal.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(work, range(3)))
    assert sum(outcome.startswith("dsp_") for outcome in outcomes) == 1, outcomes
    assert earnings(operator) == (Decimal("0.85"), Decimal("0.85"))


@pytest.mark.django_db(transaction=True)
def test_two_workers_close_once(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    pods = [rent(organisation, operator, ["1"]) for _ in range(3)]
    disputes = [dispute_it(owner, pod) for pod in pods]
    pass_time()

    def work(_: int) -> None:
        try:
            deciding.reconcile_disputes()
        finally:
            connections.close_all()

    with freeze_time(now() + LATER * 2), ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
        deciding.reconcile_disputes()
    assert {Dispute.objects.get(pk=dispute.pk).status for dispute in disputes} == {"final"}
    assert (usd(organisation), earnings(operator)) == (3, (0, 0))


@pytest.mark.django_db(transaction=True)
def test_died_between_money_and_status(
    owner: Person, organisation: Organisation, operator: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    pass_time()

    def die(*_: object, **__: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "switch_dispute", die)
        pass_time(LATER * 2)
    assert (Dispute.objects.get(pk=dispute.pk).status, usd(organisation)) == ("decided", 0)
    pass_time(LATER * 2)
    assert (Dispute.objects.get(pk=dispute.pk).status, usd(organisation)) == ("final", 1)
