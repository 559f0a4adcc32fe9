"""Is a pod reachable? Nothing is called running before a connection to it was made."""

from __future__ import annotations

import socket
from contextlib import closing

from lib.http import guard_no_transaction
from marketplace.providers.base import Instance

TIMEOUT_S = 2.0


def targets(instance: Instance) -> list[tuple[str, int]]:
    """Where to knock: SSH when the provider gives it, else the first published port. Empty: nothing to knock at."""
    if instance.ssh_host and instance.ssh_port:
        return [(instance.ssh_host, instance.ssh_port)]
    for place in instance.ports.values():
        host, _, port = place.rpartition(":")
        if host and port.isdigit():
            return [(host, int(port))]
    return []


def is_reachable(instance: Instance) -> bool:
    """Whether a TCP connection could be made within 2 s; true when there is nothing to connect to."""
    return all(_answers(host, port) for host, port in targets(instance))


def _answers(host: str, port: int) -> bool:
    guard_no_transaction()
    try:
        with closing(socket.create_connection((host.strip("[]"), port), timeout=TIMEOUT_S)):
            return True
    except (OSError, UnicodeError):
        return False
