"""What `make run` decides before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lib.local.installation import CHECKOUT, Installation, find_state_dir
from lib.local.ports import PortBusy, WrongSetting, free_port
from lib.local.programs import Preparation, agents, fingerprint, platform, tokens


def read(tmp_path: Path, **given: str) -> Installation:
    return Installation.read({"STATE_DIR": str(tmp_path), "PORT": str(free_port()), **given})


def names(installation: Installation) -> list[str]:
    return [program.name for program in platform(installation)]


def test_each_mode_has_a_folder_of_its_own() -> None:
    assert find_state_dir({"MODE": "sandbox"}) == CHECKOUT / ".local" / "sandbox"


def test_sandbox_never_meets_a_provider(tmp_path: Path) -> None:
    values = read(tmp_path, VAST_API_KEY="real", VAST_URL="https://console.vast.ai").environment()
    assert values["VAST_API_KEY"] == values["PEER_KEY"] != "real"
    assert values["VAST_URL"].startswith("http://127.0.0.1:")


def test_live_has_no_peers_and_keeps_the_keys_it_is_given(tmp_path: Path) -> None:
    live = read(tmp_path, MODE="LIVE", VAST_API_KEY="real")
    assert not any(name.startswith("peer-") for name in names(live))
    assert not {"VAST_API_KEY", "VAST_URL", "PEER_KEY"} & set(live.environment())
    assert live.nodes == 0


def test_servers_that_are_named_are_used(tmp_path: Path) -> None:
    named = {"DATABASE_URL": "postgresql://a:b@db.example/app", "REDIS_URL": "redis://cache.example/1"}
    installation = read(tmp_path, **named)
    assert installation.postgres is None
    assert installation.valkey is None
    assert {name: installation.environment()[name] for name in named} == named
    assert installation.environment()["DATABASE_OWNER_URL"] == named["DATABASE_URL"]


def test_the_written_environment_is_for_its_owner_only(tmp_path: Path) -> None:
    installation = read(tmp_path)
    installation.write_run_env()
    file = tmp_path / "run.env"
    assert file.stat().st_mode & 0o777 == 0o600
    written = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert written == installation.environment()


def test_secrets_stay_the_same_and_are_private(tmp_path: Path) -> None:
    first, second = read(tmp_path), read(tmp_path)
    first.environment()
    assert first.staff_password_file.stat().st_mode & 0o777 == 0o600
    kept = first.staff_password_file.read_text()
    second.environment()
    assert second.staff_password_file.read_text() == kept


def test_a_busy_web_port_is_told_with_the_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortBusy, match="PORT="):
        read(tmp_path, PORT=str(taken.getsockname()[1]))


@pytest.mark.parametrize("wrong", [{"MODE": "TEST"}, {"NODES": "-1"}, {"NODES": "many"}, {"NODES": "17"}])
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(WrongSetting, match=next(iter(wrong))):
        read(tmp_path, **wrong)


def test_a_node_that_has_enrolled_gets_no_new_token(tmp_path: Path) -> None:
    installation = read(tmp_path)
    assert [program.name for program in tokens(installation)] == ["token-local-1", "token-local-2"]
    (tmp_path / "nodes" / "1" / "node.json").touch()
    assert [program.name for program in tokens(installation)] == ["token-local-2"]
    assert [program.name for program in agents(installation)] == ["node-local-1", "node-local-2"]


def test_preparation_is_done_again_only_when_code_or_data_changed(tmp_path: Path) -> None:
    installation = read(tmp_path)
    (tmp_path / "pg").mkdir()
    first = Preparation(installation)
    assert [program.name for program in (*first.migrate(), *first.seed())] == ["migrate", "seed"]
    first.finish()
    second = Preparation(installation)
    assert [*second.migrate(), *second.seed()] == []
    (tmp_path / "pg" / "prepared").unlink()
    assert Preparation(installation).migrate()


def test_a_database_that_is_not_ours_is_always_migrated(tmp_path: Path) -> None:
    installation = read(tmp_path, DATABASE_URL="postgresql://a:b@db.example/app")
    first = Preparation(installation)
    first.finish()
    assert Preparation(installation).migrate()


def test_the_fingerprint_sees_names_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "lib" / "a.py"
    file.parent.mkdir()
    file.write_text("1")
    seen = {fingerprint(tmp_path)}
    file.write_text("2")
    seen.add(fingerprint(tmp_path))
    file.rename(file.with_name("b.py"))
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 3
