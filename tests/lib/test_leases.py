"""One worker for each row, by two real connections; the database's clock says until when."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event

import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts.models import Organisation
from lib import leases
from pods.models import Pod

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = 60.0
OVER = -1.0  # a lease that has ended already
FAR = 3600.0


@pytest.fixture
def pods() -> list[Pod]:
    organisation = Organisation.objects.create(name="leases")
    return [Pod.objects.create(organisation=organisation, name=f"job-{n}", mode="SANDBOX") for n in range(8)]


def claim(*, limit: int = 100, seconds: float = MINUTE) -> list[Pod]:
    return leases.claim_due(Pod.objects.all(), limit=limit, seconds=seconds)


def names(rows: list[Pod]) -> list[str]:
    return [row.name for row in rows]


def seconds_until_due(row: Pod) -> float:
    return (Pod.objects.get(pk=row.pk).due_at - timezone.now()).total_seconds()


@contextmanager
def another_connection() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread
        thread.submit(connections.close_all).result()


def test_a_claimed_row_is_nobody_elses(pods: list[Pod]) -> None:
    assert names(claim()) == names(pods)
    with another_connection() as other:
        assert other.submit(claim).result() == []


def test_rows_come_in_the_order_in_which_they_are_due(pods: list[Pod]) -> None:
    leases.hint(Pod, pods[0].pk)
    assert names(claim(limit=3)) == ["job-1", "job-2", "job-3"]
    assert names(claim()) == ["job-4", "job-5", "job-6", "job-7", "job-0"]


def test_two_workers_at_once_share_without_waiting(pods: list[Pod]) -> None:
    both = Barrier(2)

    def work() -> list[str]:
        both.wait(timeout=10)
        try:
            return names(claim())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        first, second = (future.result() for future in [threads.submit(work), threads.submit(work)])
    assert sorted(first + second) == names(pods)


def test_rows_locked_by_a_transaction_are_passed_over(pods: list[Pod]) -> None:
    locked, done = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            list(Pod.objects.select_for_update().filter(name__lt="job-4"))
            locked.set()
            done.wait(timeout=10)

    with another_connection() as other:
        holding = other.submit(hold)
        locked.wait(timeout=10)
        assert names(claim()) == ["job-4", "job-5", "job-6", "job-7"]
        done.set()
        holding.result()


def test_a_lease_that_ran_out_is_anybodys_and_its_old_holder_can_write_nothing(pods: list[Pod]) -> None:
    (late,) = claim(limit=1, seconds=OVER)
    (taken,) = claim(limit=1)
    assert taken.pk == late.pk
    assert taken.lease_token != late.lease_token
    assert leases.release(late, due_in=FAR) is False
    assert leases.release_failed(late, "too late") is False
    row = Pod.objects.get(pk=late.pk)
    assert (row.lease_token, row.failures, row.last_error) == (taken.lease_token, 0, "")
    assert leases.release(taken, due_in=FAR)


def test_a_released_row_is_due_again_later(pods: list[Pod]) -> None:
    (row,) = claim(limit=1)
    assert leases.release(row, due_in=FAR)
    assert FAR - 60 < seconds_until_due(row) <= FAR
    assert row.name not in names(claim())


def test_a_hint_while_somebody_works_is_not_lost(pods: list[Pod]) -> None:
    (row,) = claim(limit=1)
    with another_connection() as other:
        other.submit(leases.hint, Pod, row.pk).result()
    assert row.name not in names(claim()), "it still has its worker"
    assert leases.release(row, due_in=FAR)
    assert names(claim()) == [row.name]


@pytest.mark.parametrize(("failures", "wait"), [(0, 1.0), (3, 8.0), (6, 64.0), (20, 120.0)])
def test_each_failure_waits_longer_up_to_a_bound(pods: list[Pod], failures: int, wait: float) -> None:
    Pod.objects.filter(pk=pods[0].pk).update(failures=failures)
    (row,) = claim(limit=1)
    assert leases.release_failed(row, "HTTP 500 " + "x" * 5000, longest=120.0)
    assert wait - 1 < seconds_until_due(row) <= wait
    stored = Pod.objects.get(pk=row.pk)
    assert (stored.failures, stored.lease_token, stored.lease_until) == (failures + 1, None, None)
    assert stored.last_error.startswith("HTTP 500")
    assert len(stored.last_error) == 2000


def test_success_forgets_the_failures(pods: list[Pod]) -> None:
    Pod.objects.filter(pk=pods[0].pk).update(failures=5, last_error="HTTP 500")
    (row,) = claim(limit=1)
    assert leases.release(row, due_in=FAR)
    stored = Pod.objects.get(pk=row.pk)
    assert (stored.failures, stored.last_error) == (0, "")
