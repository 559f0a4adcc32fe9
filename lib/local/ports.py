"""Which ports the parts of one state folder use: named ones, else those of last time, else free ones."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1"


class WrongSetting(ValueError):
    """A value of the environment that cannot be."""


class PortBusy(RuntimeError):
    def __init__(self, variable: str, port: int) -> None:
        super().__init__(
            f"Port {port} is in use by another program. Choose another one: {variable}={port + 1} make run"
        )


def is_free(port: int, host: str = LOOPBACK) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int, host: str = LOOPBACK) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def named_port(environment: Mapping[str, str], variable: str) -> int | None:
    """The port that the environment names, which has to be free. Raises PortBusy, WrongSetting."""
    value = environment.get(variable, "")
    if not value:
        return None
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise WrongSetting(f"{variable} is {value!r}; a port is a number from 1 to 65535.")
    if not is_free(int(value)):
        raise PortBusy(variable, int(value))
    return int(value)


def choose_ports(file: Path, variables: list[str], environment: Mapping[str, str]) -> dict[str, int]:
    """A port for each variable, remembered in `file` so that a second start has the same addresses."""
    try:
        remembered: dict[str, int] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        remembered = {}
    chosen: dict[str, int] = {}
    for variable in variables:
        port = named_port(environment, variable) or remembered.get(variable, 0)
        while not port or port in chosen.values() or not is_free(port):
            port = free_port()
        chosen[variable] = port
    file.write_text(json.dumps({**remembered, **chosen}, indent=1))
    return chosen
