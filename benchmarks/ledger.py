"""Ledger transfers per second beside pgbench's TPC-B on the same server, synchronous commit on.

`run` needs Django set up on a throw-away database with durable settings, and DATABASE_OWNER_URL: what it posts stays.
Four connections and four threads each. Every measurement of ours has a TPC-B run right before it, since machines are
not equally busy all the time; the ratio is the median over those pairs.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import psycopg
from django.db import connection, connections

from benchmarks.report import Row, median_and_spread
from billing import ledger
from billing.accounts import SHARDS, Kind, account_of
from billing.ledger import Leg
from billing.models import Account
from lib.local.postgres import binary

CONNECTIONS = 4
SECONDS = 2
ROUNDS = 5
ACCOUNTS = 100_000  # TPC-B at this scale has a million; among a thousand, two batches of 100 always meet
SCALE = 10  # pgbench: ten branches, a million rows
SCHEMA = "pgbench"
BATCHES = (1, 10, 100, 1000)
CENT = Decimal("0.01")


def run() -> list[Row]:
    _check_durable()
    accounts = _make_accounts()
    # One of our own accounts as the product has them: its row chosen by the transfer's id.
    hot = [account_of(None, Kind.OPENING, "USD", label="bench-hot", shard=shard).pk for shard in range(SHARDS)]
    with TpcB() as tpc_b:
        return [_measure(tpc_b, batch, accounts, target) for target in ([], hot) for batch in BATCHES]


def _measure(tpc_b: TpcB, batch: int, accounts: list[UUID], hot: list[UUID]) -> Row:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(tpc_b.transactions_per_second())
        ours.append(_transfers_per_second(batch, accounts, hot))
    value, spread = median_and_spread(ours)
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    how = "one by one" if batch == 1 else f"in batches of {batch}"
    where = f"one hot account ({SHARDS} shards)" if hot else f"{ACCOUNTS:,} accounts"
    aim = "≥ 0.9 ×" if batch == 1 else "≥ 10 ×" if batch >= 100 else ""
    reference = statistics.median(theirs)
    return Row(f"ledger, {how}, {where}", value, "transfers/s", "pgbench TPC-B", reference, ratio, aim, spread)


def _transfers_per_second(batch: int, accounts: list[UUID], hot: list[UUID]) -> float:
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return sum(threads.map(partial(_post_for, batch, accounts, hot), range(CONNECTIONS)))


def _post_for(batch: int, accounts: list[UUID], hot: list[UUID], seed: int) -> float:
    """Transfers per second of one connection. Each call is a transaction of its own."""
    choose, posted = random.Random(seed), 0
    connection.ensure_connection()
    started = time.monotonic()
    while time.monotonic() < started + SECONDS:
        ledger.post([_leg(choose, accounts, hot) for _ in range(batch)])
        posted += batch
    spent = time.monotonic() - started
    connections.close_all()
    return posted / spent


def _leg(choose: random.Random, accounts: list[UUID], hot: list[UUID]) -> Leg:
    """With `hot` every transfer meets that account."""
    debit, credit = choose.sample(accounts, 2)
    id = uuid4()
    return Leg(id, debit, hot[id.int % SHARDS] if hot else credit, CENT, "USD", "bench", "1")


def _make_accounts() -> list[UUID]:
    labels = [f"bench-{number}" for number in range(ACCOUNTS)]
    rows = [Account(kind=Kind.OPENING, currency="USD", label=label, no_overdraft=False) for label in labels]
    return [account.pk for account in Account.objects.bulk_create(rows, batch_size=10_000)]


def _check_durable() -> None:
    with connection.cursor() as cursor:
        for setting in ("synchronous_commit", "fsync"):
            cursor.execute(f"SHOW {setting}")
            if cursor.fetchone() != ("on",):
                raise RuntimeError(f"{setting} is off: these figures would be of no use")


class TpcB:
    """pgbench's built-in script on tables in a schema of their own, which goes again at the end."""

    def __init__(self) -> None:
        self._url = os.environ["DATABASE_OWNER_URL"]
        parts = urlsplit(self._url)
        self._name = parts.path.lstrip("/")
        self._environment = {
            **os.environ,
            "PGHOST": parts.hostname or "127.0.0.1",
            "PGPORT": str(parts.port or 5432),
            "PGUSER": unquote(parts.username or ""),
            "PGPASSWORD": unquote(parts.password or ""),
            "PGOPTIONS": f"-c search_path={SCHEMA}",
        }

    def __enter__(self) -> TpcB:
        self._in_schema(lambda owner: owner.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode()))
        self._pgbench("-i", "-q", "-s", str(SCALE))
        return self

    def __exit__(self, *exception: object) -> None:
        self._in_schema(lambda owner: owner.execute(f"DROP SCHEMA {SCHEMA} CASCADE".encode()))

    def transactions_per_second(self) -> float:
        output = self._pgbench("-n", "-c", str(CONNECTIONS), "-j", str(CONNECTIONS), "-T", str(SECONDS))
        found = re.search(r"tps = ([0-9.]+)", output)
        if found is None:
            raise RuntimeError(f"pgbench says nothing of its speed: {output[-500:]}")
        return float(found[1])

    def _pgbench(self, *options: str) -> str:
        command = [str(find_pgbench()), *options, self._name]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=300, check=True)
        return done.stdout

    def _in_schema(self, act: Callable[[psycopg.Connection], object]) -> None:
        with psycopg.connect(self._url, autocommit=True) as owner:
            act(owner)


def find_pgbench() -> Path:
    """The one beside the embedded server, or the system's."""
    system = [
        shutil.which("pgbench"),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)),
    ]
    found = next(
        (path for path in [binary("pgbench"), *(Path(name) for name in system if name)] if path.is_file()), None
    )
    if found is None:
        raise RuntimeError("pgbench is missing: it comes with PostgreSQL")
    return found
