"""The PostgreSQL and Valkey that a test run uses, and the environment that names them.

Embedded ones in a temporary folder, or those of TEST_DATABASE_URL (PostgreSQL 15 or newer; its user may make roles and
databases; the roles gpubroker and gpubroker_owner get new passwords) and TEST_REDIS_URL (that database is emptied).
Each process of a run has servers of its own; named ones cannot be shared, so they mean one process.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from lib.local.ports import LOOPBACK
from lib.local.postgres import APPLICATION, DATABASE, OWNER, SUPERUSER, Postgres, prepare_database
from lib.local.process import Program, spawn, stop_all
from lib.local.valkey import Valkey

PEERS = {
    "vast": "VAST_URL",
    "runpod": "RUNPOD_URL",
    "lambda_labs": "LAMBDA_URL",
    "akash": "AKASH_URL",
    "paypal": "PAYPAL_URL",
    "stripe": "STRIPE_URL",
    "chain": "CHAIN_URL",
}
PEER_KEYS = ("VAST_API_KEY", "RUNPOD_API_KEY", "LAMBDA_API_KEY", "AKASH_API_KEY")


def wait_until(ready: Callable[[], bool], child: Popen[bytes], log: Path, limit_s: float = 30.0) -> None:
    """Poll, since a server tells nobody when it is ready."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.stem} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


class Servers:
    """Ports and passwords are chosen at once, so that settings can load; processes start at `start`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gpubroker-tests-"))
        self._children: list[tuple[Popen[bytes], Program]] = []
        self._held_ports: list[socket.socket] = []
        self._own = f"{DATABASE}_test_{secrets.token_hex(4)}"
        self._postgres = Postgres(self.folder / "pg", self.folder / "secrets", self._hold_port(), durable=False)
        self._valkey = Valkey(self.folder / "valkey", self.folder / "secrets", self._hold_port(), durable=False)
        self.peer_ports = {slug: self._hold_port() for slug in PEERS}
        self.foreign_database = os.environ.get("TEST_DATABASE_URL", "")
        self.foreign_redis = os.environ.get("TEST_REDIS_URL", "")

    @property
    def are_shared(self) -> bool:
        return bool(self.foreign_database or self.foreign_redis)

    def _hold_port(self) -> int:
        """A port for a server that starts later, maybe minutes later: bound all the while, so that the system gives it
        to no other program and connection. A server may still listen on it, as both allow the reuse of addresses."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, 0))
        self._held_ports.append(held)
        port: int = held.getsockname()[1]
        return port

    @property
    def admin_url(self) -> str:
        return self.foreign_database or self._postgres.url(SUPERUSER, "postgres")

    @property
    def redis_url(self) -> str:
        return self.foreign_redis or self._valkey.url

    def database_url(self, role: str) -> str:
        """The test database as `role`: the owner migrates, the application's role is what the code under test has."""
        own = urlsplit(self._postgres.url(role, self._own))
        if not self.foreign_database:
            return urlunsplit(own)
        host = urlsplit(self.foreign_database).netloc.rpartition("@")[2]
        return urlunsplit(own._replace(netloc=f"{own.netloc.rpartition('@')[0]}@{host}"))

    def environment(self) -> Mapping[str, str]:
        key = secrets.token_urlsafe(16)
        return {
            "MODE": "SANDBOX",
            "STATE_DIR": str(self.folder),
            "DATABASE_URL": self.database_url(APPLICATION),
            "DATABASE_OWNER_URL": self.database_url(OWNER),
            "REDIS_URL": self.redis_url,
            "PEER_KEY": key,
            **dict.fromkeys(PEER_KEYS, key),
            "PAYPAL_CLIENT_ID": "client-" + secrets.token_hex(4),
            "PAYPAL_CLIENT_SECRET": secrets.token_urlsafe(16),
            "PAYPAL_WEBHOOK_ID": "WH-" + secrets.token_hex(4),
            "STRIPE_SECRET_KEY": "sk_test_" + secrets.token_hex(12),
            "STRIPE_PUBLISHABLE_KEY": "pk_test_" + secrets.token_hex(12),
            "STRIPE_WEBHOOK_SECRET": "whsec_" + secrets.token_hex(12),
            "STRIPE_JS_URL": f"http://{LOOPBACK}:{self.peer_ports['stripe']}/sandbox/js/v3.js",
            **{variable: f"http://{LOOPBACK}:{self.peer_ports[slug]}" for slug, variable in PEERS.items()},
        }

    def start(self) -> None:
        if not self.foreign_database:
            self.start_program(self._postgres.program())
        if self.foreign_redis:
            redis.Redis.from_url(self.foreign_redis).flushdb()
        else:
            self.start_program(self._valkey.program())
        passwords = {role: urlsplit(self.database_url(role)).password or "" for role in (OWNER, APPLICATION)}
        prepare_database(self.admin_url, self._own, passwords)

    def start_program(self, program: Program) -> None:
        log = self.folder / "logs" / f"{program.name}.log"
        child = spawn(program, log)
        self._children.append((child, program))
        if program.ready:
            wait_until(program.ready, child, log)

    def stop(self) -> None:
        stop_all([(child, program.stop_signal) for child, program in self._children], limit_s=5.0)
        if self.foreign_database:
            with psycopg.connect(self.foreign_database, autocommit=True) as connection:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._own))
                connection.execute(drop)
        for held in self._held_ports:
            held.close()
        shutil.rmtree(self.folder, ignore_errors=True)
