"""Real servers for every test. This file runs before Django's settings load, and says where the servers will be.

`pytest -n 2` hands the tests out to two processes (pytest-xdist), each of which reads this file and has its own servers.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import psycopg
import pytest
import requests
from psycopg.sql import SQL, Identifier, Literal

from lib.local.ports import LOOPBACK
from lib.local.postgres import OWNER
from lib.local.process import Program
from tests.servers import Servers

servers = Servers()
os.environ.update(servers.environment())
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

pytest_plugins = ["tests.people", "tests.crash.report", "tests.lock_order"]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_FIXTURES = {"page", "context", "browser", "new_context"}
NO_CHROMIUM = "Chromium is not installed (Debian, Ubuntu: apt-get install chromium)"
MOST_PROCESSES = 4


def _hands_out(config: pytest.Config) -> bool:
    """Whether this process only hands the tests out: it needs neither Django nor servers."""
    return getattr(config.option, "dist", "no") != "no"


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    if os.environ.get("REQUIRE_BROWSER") == "1" and not CHROMIUM:
        raise pytest.UsageError(f"{NO_CHROMIUM}, and REQUIRE_BROWSER=1 asks for it.")
    if not _hands_out(config):
        _configure()


def _configure() -> None:
    # Reading a setting makes pytest-django set Django up, which it does only when settings are there already.
    from django.conf import settings

    assert settings.SANDBOX
    # A slow machine is no wrong example.
    hypothesis.settings.register_profile(
        "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tests")
    # Each test client is a server that has just started: it looks for a file when it is asked for one, not for all before.
    settings.WHITENOISE_AUTOREFRESH = True
    # The real hash takes 0.2 s of processor time on purpose.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.option.collectonly and not _hands_out(session.config):
        servers.start()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means."""
    return 0 if servers.are_shared else min(os.cpu_count() or 1, MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Before the other processes start: in them, too, the settings must load after this file and not before."""
    if servers.are_shared:
        raise pytest.UsageError("TEST_DATABASE_URL and TEST_REDIS_URL name one server: run the tests with -n 0.")
    del os.environ["DJANGO_SETTINGS_MODULE"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A test goes to the process that is free next, in order; whole journeys, which share an installation, to one."""
    from xdist.scheduler import LoadScopeScheduling

    class InOrder(LoadScopeScheduling):  # type: ignore[misc]  # has no types
        def _split_scope(self, nodeid: str) -> str:
            return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid

    config.option.loadscopereorder = False
    return InOrder(config, log)


def pytest_unconfigure() -> None:
    servers.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM:
                item.add_marker(pytest.mark.skip(reason=NO_CHROMIUM))
    # Stable. An event loop stays behind a browser, in which no asynchronous test could run: browsers come after all
    # others, and whole journeys last.
    items.sort(key=lambda item: ("e2e" in item.path.parts, item.get_closest_marker("browser") is not None))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: not to look through it at each collection saves a fifth of all processor time."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    for kind in ("browser", "network"):
        reasons = [report.longrepr[2] for report in skipped if kind in report.keywords]
        if reasons:
            line = f"{len(reasons)} {kind} tests skipped: {reasons[0].removeprefix('Skipped: ')}."
            terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> None:
    """Migrate as the owner; the tests then sign in as the application, with no more rights than it has."""
    from django.core.management import call_command
    from django.db import connection

    from config.settings import database_from_url

    application = dict(connection.settings_dict)
    with django_db_blocker.unblock():
        connection.settings_dict.update(database_from_url(os.environ["DATABASE_OWNER_URL"]))
        call_command("migrate", verbosity=0, interactive=False)
        connection.close()
        connection.settings_dict.update(application)
    # Of the class: beside a browser's event loop there is another connection than before it.
    type(connection.ops).execute_sql_flush = staticmethod(_flush_as_owner)  # type: ignore[assignment,method-assign]


def _flush_as_owner(_truncate: Iterable[str]) -> None:
    """What empties the tables after a test with real commits: the application itself may not remove everything.

    Django's own statement truncates all tables, each of which gets new files by it. Deleting the few rows of the few
    that have any takes a fifth of the time. What refers to what is looked at in the end, when all of it is gone.
    """
    from django.db import connection

    filled = SQL(" UNION ALL ").join(
        SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(Literal(table), Identifier(table))
        for table in connection.introspection.django_table_names(include_views=False)
    )
    with psycopg.connect(servers.database_url(OWNER)) as owner:
        for (table,) in owner.execute(filled).fetchall():
            owner.execute(SQL("DELETE FROM {}").format(Identifier(table)))


@pytest.fixture(autouse=True)
def _empty_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test sees another one's rate limits, lock-outs, market and language."""
    yield
    from django.utils import translation

    translation.deactivate()
    uses_database = {"db", "transactional_db"} & set(request.fixturenames)
    if uses_database or request.node.get_closest_marker("django_db"):
        from django.core.cache import cache

        from marketplace import snapshot

        cache.delete_pattern("*")  # type: ignore[attr-defined]
        snapshot.forget()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, slots=True)
class Peer:
    slug: str
    url: str

    def healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/sandbox/health", timeout=2).status_code == 200
        except requests.RequestException:
            return False


@pytest.fixture(scope="session")
def peer() -> Callable[[str], Peer]:
    """`peer("vast")`: that sandbox peer, started at the first call, at the address which settings.PROVIDER_URLS has."""
    started: dict[str, Peer] = {}

    def start(slug: str) -> Peer:
        if slug not in started:
            port = servers.peer_ports[slug]
            new = Peer(slug, f"http://{LOOPBACK}:{port}")
            state = servers.folder / "peers" / f"{slug}.sqlite3"
            state.parent.mkdir(exist_ok=True)
            argv = [sys.executable, "-m", "sandbox", slug, "--host", LOOPBACK, "--port", str(port), "--seed", "7"]
            argv += ["--state", str(state), "--facts", "marketplace/data/list_prices.csv"]
            # Instances boot quickly, and the market moves only when a test says so (`POST /sandbox/tick`).
            argv += ["--boot-s", "0.4", "--tick-s", "0"]
            servers.start_program(Program(f"peer-{slug}", tuple(argv), ready=new.healthy))
            started[slug] = new
        return started[slug]

    return start


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    # From now to the end, Playwright runs an event loop in the thread of the tests, beside which Django would refuse.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": arguments}
