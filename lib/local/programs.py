"""The table of programs that `make run` consists of, in the stages in which they start."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests

from lib.local.installation import CHECKOUT, PEERS, Installation, peer_port
from lib.local.ports import LOOPBACK, accepts
from lib.local.process import Program
from lib.local.supervisor import Stage

# An agent stays away for as long as it takes to see its pods move to another node.
AGENT_PAUSE_S = 15.0
AGENT_SHUTDOWN_S = 3.0
APPS = (
    "accounts",
    "billing",
    "catalyst",
    "config",
    "console",
    "enrollment",
    "lib",
    "marketplace",
    "notifications",
    "pods",
)
WORKERS = {"control": 8, "work": 8}
# `make test` makes Django's checks; three workers that repeat them would cost three seconds of every start.
NO_CHECKS = {"CELERY_SKIP_CHECKS": "1"}
WEBHOOK_PATHS = {"paypal": "/api/v2/billing/paypal/webhook", "stripe": "/api/v2/billing/webhook"}


def python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def answers(url: str) -> Callable[[], bool]:
    """A check whether `url` says 200. It is about this machine, so no proxy is asked."""
    address = urlsplit(url)

    def check() -> bool:
        if not accepts(address.port or 80, address.hostname or LOOPBACK):  # costs nothing while the program starts
            return False
        try:
            return _ask(url).status_code == 200
        except requests.RequestException:
            return False

    return check


def _ask(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10, allow_redirects=False)


def stages(installation: Installation) -> list[Stage]:
    """Stopping goes the other way: 3.5 + 3.5 + 2.5 seconds at most for what takes its time."""
    prepare = Preparation(installation)
    return [
        Stage(lambda: servers(installation), stop_limit_s=2.5),
        Stage(prepare.migrate, ready_limit_s=120.0, stop_limit_s=0.0),
        Stage(prepare.seed, prepare.finish, ready_limit_s=120.0, stop_limit_s=0.0),
        Stage(lambda: [*platform(installation), *tokens(installation)], stop_limit_s=3.5),
        Stage(lambda: agents(installation), stop_limit_s=AGENT_SHUTDOWN_S + 0.5),
    ]


def servers(installation: Installation) -> list[Program]:
    return [server.program() for server in (installation.postgres, installation.valkey) if server]


class Preparation:
    """Migrations and reference data. Left out when neither the code nor our own database has changed since."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        # It lies beside the data that it speaks of, and goes when they go. Of a foreign database nothing is known.
        self._stamp = installation.postgres.folder / "prepared" if installation.postgres else None
        self._code = fingerprint(CHECKOUT)

    def migrate(self) -> list[Program]:
        if self._done():
            return []
        owner = {"DATABASE_URL": self._installation.environment()["DATABASE_OWNER_URL"]}
        return [Program("migrate", python("manage.py", "migrate", "--no-input"), "Migrations", owner, once=True)]

    def seed(self) -> list[Program]:
        return [] if self._done() else [Program("seed", python("manage.py", "seed"), "Reference data", once=True)]

    def _done(self) -> bool:
        return self._stamp is not None and self._stamp.is_file() and self._stamp.read_text() == self._code

    def finish(self) -> None:
        if self._stamp:
            self._stamp.write_text(self._code)


def fingerprint(checkout: Path) -> str:
    """Of all code and data of the apps: any of it may have a part in migrations or reference data."""
    digest = hashlib.blake2b(digest_size=16)
    for app in APPS:
        for file in sorted((checkout / app).rglob("*")):
            if file.suffix in {".py", ".csv", ".json", ".sql", ".yaml"}:
                digest.update(f"{file.relative_to(checkout)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def platform(installation: Installation) -> list[Program]:
    web = python("-m", "daphne", "-b", installation.host, "-p", str(installation.ports["PORT"]), "-v", "0")
    web += ("--no-server-name", "config.asgi:application")
    schedule = str(installation.state_dir / "beat-schedule")
    return [
        Program("web", web, "Web server", ready=answers(f"{installation.local_url}/health")),
        *(worker(queue, threads) for queue, threads in WORKERS.items()),
        Program("beat", celery("beat", "--pidfile=", "--schedule", schedule), env=NO_CHECKS),
        *(peers(installation) if installation.sandbox else []),
    ]


def celery(command: str, *arguments: str) -> tuple[str, ...]:
    return python("-m", "celery", "--app", "config.celery", "--quiet", command, "--loglevel", "INFO", *arguments)


def worker(queue: str, threads: int) -> Program:
    options = ["--queues", queue, "--hostname", f"{queue}@%h", "--pool", "threads", "--concurrency", str(threads)]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return Program(f"worker-{queue}", celery("worker", *options, *quiet), env=NO_CHECKS)


def peers(installation: Installation) -> list[Program]:
    folder = installation.state_dir / "peers"
    folder.mkdir(exist_ok=True, mode=0o700)
    facts = str(CHECKOUT / "marketplace" / "data" / "list_prices.csv")
    programs = []
    for name in PEERS:
        port = installation.ports[peer_port(name)]
        argv = ["-m", "sandbox", name, "--host", LOOPBACK, "--port", str(port), "--seed", "7"]
        argv += ["--state", str(folder / f"{name}.sqlite3"), "--facts", facts]
        if name in WEBHOOK_PATHS:
            argv += ["--webhook-url", installation.local_url + WEBHOOK_PATHS[name]]
        programs.append(
            Program(f"peer-{name}", python(*argv), ready=answers(f"http://{LOOPBACK}:{port}/sandbox/health"))
        )
    return programs


def node_folders(installation: Installation) -> list[tuple[str, Path]]:
    return [
        (f"local-{number}", installation.state_dir / "nodes" / str(number))
        for number in range(1, installation.nodes + 1)
    ]


def tokens(installation: Installation) -> list[Program]:
    """One-time enrolment tokens for the local nodes that have none of their own identity yet."""
    programs = []
    for name, folder in node_folders(installation):
        if not (folder / "node.json").is_file():
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
            argv = python("manage.py", "make_node_token", "--name", name, "--local")
            programs.append(Program(f"token-{name}", argv, once=True, output=folder / "token"))
    return programs


def agents(installation: Installation) -> list[Program]:
    """The nodes share this machine: each declares its part, and together they leave a half of the memory."""
    parts = max(installation.nodes, 1)
    vcpus = max(1.0, (os.cpu_count() or 1) / parts)
    ram_gb = max(1.0, psutil.virtual_memory().total / 2**30 / 2 / parts)
    share = ["--vcpus", f"{vcpus:g}", "--ram-gb", f"{ram_gb:.1f}", "--disk-gb", "20"]
    programs = []
    for name, folder in node_folders(installation):
        argv = ["-m", "catalyst.agent", "--server", installation.local_url, "--state", str(folder), "--name", name]
        argv += ["--token-file", str(folder / "token"), "--shutdown-s", f"{AGENT_SHUTDOWN_S:g}", *share]
        argv += ["--sandbox-local"] if installation.sandbox else []
        programs.append(Program(f"node-{name}", python(*argv), f"Node {name}", restart_after_s=AGENT_PAUSE_S))
    return programs


def unready_parts(installation: Installation) -> str:
    """What /readiness says is missing, for the person who waits."""
    try:
        parts: dict[str, str] = _ask(f"{installation.local_url}/readiness").json()["parts"]
    except (requests.RequestException, ValueError, KeyError):
        return "the web server does not answer"
    return ", ".join(f"{name}: {answer}" for name, answer in parts.items() if answer != "ok")
