"""Killing a flow at each of its points, restarting what died, and looking at what there is in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.db import connection
from django.db.models import F

from accounts.models import IdempotencyKey
from billing import tasks
from billing.models import AutoTopUp, Payment, Payout, Refund, Subscription, WebhookEvent
from tests.billing.invoicing import deliver_invoices
from tests.crash.books import problems
from tests.crash.flow import Facts, Flow
from tests.patience import PATIENCE_S

APPLICATION = "crash"  # the name of our lives' connections in the database
LATER = timedelta(hours=1)
MOST_POINTS = 200
ORDERS = ("the worker is back first", "the customer asks again first")


@dataclass(frozen=True, slots=True)
class Life:
    is_whole: bool
    passed: list[str]  # the last one is where it was killed, unless it is whole


class Runner:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "runner.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "PGAPPNAME": APPLICATION},
        )
        assert self._heard() == "ready"

    def live(self, flow: Flow, facts: Facts, kill_at: int | None) -> Life:
        assert self._process.stdin
        journal = self._folder / "journal"
        job = {"flow": flow.name, "facts": facts, "kill_at": kill_at, "journal": str(journal)}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        status = self._heard()
        assert status in {"0", "-9"}, f"exit status {status}:\n{self.log()}"
        return Life(status == "0", journal.read_text().splitlines())

    def stop(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        self._log.close()

    def log(self) -> str:
        return (self._folder / "runner.log").read_text()[-4000:]

    def _heard(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@dataclass(frozen=True, slots=True)
class Tally:
    flow: str
    points: int
    runs: int


def kill_everywhere(flow: Flow, runner: Runner) -> Tally:
    """One life for each point and one that is whole; once more where people may ask again before a worker looks."""
    runs = 0
    flow.set_up()
    for order in ORDERS if flow.is_asked_for else ORDERS[:1]:
        died_at: list[str] = []
        while True:
            assert len(died_at) < MOST_POINTS, died_at
            facts = flow.prepare()
            life = runner.live(flow, facts, len(died_at))
            runs += 1
            try:
                _restart(flow, facts, order)
                flow.check(facts)
                assert problems() == []
            except BaseException as failure:
                where = "after the end" if life.is_whole else f"before “{life.passed[-1]}”"
                failure.add_note(f"{flow.name}: killed {where} (point {len(died_at)}), then {order}")
                failure.add_note("\n".join(life.passed))
                raise
            if life.is_whole:
                break
            died_at.append(life.passed[-1])
        missed = Counter(life.passed) - Counter(died_at)
        assert not missed, f"it never died before {missed}"
    return Tally(flow.name, 2 * len(life.passed), runs)


def _restart(flow: Flow, facts: Facts, order: str) -> None:
    """An hour later, in a process that knows nothing of the one that died; and everything once more."""
    _wait_for_its_connections()
    _let_time_pass(facts)
    for act in (_work, _ask_again) if order == ORDERS[0] else (_ask_again, _work):
        act(flow, facts)
    _let_time_pass(facts)
    _work(flow, facts)


def _ask_again(flow: Flow, facts: Facts) -> None:
    flow.act(facts)


def _work(flow: Flow, facts: Facts) -> None:
    tasks.reconcile_payments()
    tasks.reconcile_subscriptions()
    tasks.expire_holds()
    flow.work(facts)
    deliver_invoices()


def _wait_for_its_connections() -> None:
    """The database rolls back what was open, and lets go of locks, as soon as it finds the process gone."""
    deadline = time.monotonic() + PATIENCE_S
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [APPLICATION])
            if cursor.fetchone() == (0,):
                return
            assert time.monotonic() < deadline
            time.sleep(0.002)


def _let_time_pass(facts: Facts) -> None:
    """For what looks at the clock. Only of this flow: of what is finished nothing is looked at again."""
    theirs = {"organisation": facts["organisation"]}
    for rows, columns in (
        (IdempotencyKey.objects.filter(organisation_id=facts["organisation"]), ("created_at",)),
        (Payment.objects.filter(**theirs), ("created_at", "checked_at")),
        (Refund.objects.filter(payment__organisation=facts["organisation"]), ("created_at", "checked_at")),
        (Subscription.objects.filter(**theirs), ("created_at", "due_at", "lease_until")),
        (AutoTopUp.objects.filter(**theirs), ("tried_at",)),
        (Payout.objects.filter(**theirs), ("checked_at",)),
        (WebhookEvent.objects.filter(processed_at=None), ("received_at",)),
    ):
        rows.update(**{column: F(column) - LATER for column in columns})
