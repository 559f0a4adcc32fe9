from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lib.local.ports import PortBusy, WrongSetting, choose_ports, free_port, named_port


def test_chosen_ports_are_different_and_remembered(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["PG_PORT", "VALKEY_PORT"], {})
    assert first["PG_PORT"] != first["VALKEY_PORT"]
    assert choose_ports(file, ["PG_PORT", "VALKEY_PORT"], {}) == first


def test_a_remembered_port_that_is_taken_gives_way(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["PG_PORT"], {})
    with socket.create_server(("127.0.0.1", first["PG_PORT"])):
        assert choose_ports(file, ["PG_PORT"], {}) != first


def test_a_named_port_wins(tmp_path: Path) -> None:
    port = free_port()
    assert choose_ports(tmp_path / "ports.json", ["PG_PORT"], {"PG_PORT": str(port)}) == {"PG_PORT": port}


def test_a_named_port_that_is_taken_is_an_error_which_says_what_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortBusy, match="PORT="):
        named_port({"PORT": str(taken.getsockname()[1])}, "PORT")


@pytest.mark.parametrize("value", ["0", "65536", "eighty", "-1"])
def test_a_port_is_a_number_in_range(value: str) -> None:
    with pytest.raises(WrongSetting, match="PORT"):
        named_port({"PORT": value}, "PORT")
