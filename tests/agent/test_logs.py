"""Lines on their way: numbered by the keeper, bounded, nothing lost in silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalyst.agent import logs
from catalyst.agent.keeper.output import SEGMENT_BYTES, SEGMENTS, Log, Pipe
from catalyst.agent.logs import WINDOW_LINES, LogCursor
from catalyst.agent.protocol import LogLine


def fill(log: Log, count: int, text: str = "x") -> None:
    for _ in range(count):
        log.add("stdout", text)
        log.flush()


@pytest.fixture(autouse=True)
def _no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES_PER_S", 1e9)


def read_all(folder: Path) -> list[LogLine]:
    found: list[LogLine] = []
    with closing(LogCursor(folder, 0)) as cursor:
        while lines := cursor.read():
            found += lines
            cursor.ack(lines[-1]["n"])
    return found


@pytest.fixture
def cursor(tmp_path: Path) -> Iterator[LogCursor]:
    with closing(LogCursor(tmp_path, 0)) as found:
        yield found


def test_lines_come_in_order_and_again_until_acknowledged(tmp_path: Path, cursor: LogCursor) -> None:
    log = Log(str(tmp_path))
    assert cursor.read() == []
    fill(log, 3)
    assert [line["n"] for line in cursor.read()] == [1, 2, 3]
    cursor.ack(1)
    cursor.rewind()
    assert [line["n"] for line in cursor.read()] == [2, 3]
    fill(log, 1)
    assert [line["n"] for line in cursor.read()] == [4]
    with closing(LogCursor(tmp_path, 3)) as later:
        assert later.read()[0]["n"] == 4


def test_no_more_than_a_window_is_on_the_way(tmp_path: Path, cursor: LogCursor) -> None:
    log = Log(str(tmp_path))
    fill(log, WINDOW_LINES + 300)
    sent = 0
    while lines := cursor.read():
        sent += len(lines)
    assert WINDOW_LINES <= sent < WINDOW_LINES + 300
    cursor.ack(sent)
    assert cursor.read()[0]["n"] == sent + 1


def test_a_loud_pod_is_sent_at_a_steady_pace(
    tmp_path: Path, cursor: LogCursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LINES_PER_S", 0.0)
    fill(Log(str(tmp_path)), WINDOW_LINES + 300)
    sent = 0
    while lines := cursor.read():
        sent += len(lines)
        cursor.ack(sent)
    assert sent == WINDOW_LINES
    monkeypatch.setattr(logs, "LINES_PER_S", 1e9)
    assert cursor.read()[0]["n"] == WINDOW_LINES + 1


def test_what_was_rotated_away_is_told(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    line = "y" * 10_000
    total = SEGMENT_BYTES * (SEGMENTS + 3) // len(line)
    fill(log, total, line)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= SEGMENT_BYTES * (SEGMENTS + 1)
    found = read_all(tmp_path)
    assert found[0]["stream"] == "agent"
    assert found[0]["text"].startswith(f"{found[0]['n']} lines were dropped")
    assert [each["n"] for each in found] == list(range(found[0]["n"], total + 1))


def test_a_new_keeper_goes_on_with_the_numbers(tmp_path: Path) -> None:
    fill(Log(str(tmp_path)), 5)
    segment = next(tmp_path.iterdir())
    with segment.open("ab") as file:
        file.write(b'{"n": 6, "at": 1.0, "str')  # torn: the keeper was killed here
    fill(Log(str(tmp_path)), 1, "after")
    found = read_all(tmp_path)
    assert [line["n"] for line in found] == [1, 2, 3, 4, 5, 6]
    assert found[-1]["text"] == "after"


def test_output_is_cut_into_lines() -> None:
    read, write = os.pipe()
    pipe = Pipe(read, "stdout")
    os.write(write, b"one\r\ntwo\r50%\r100%\nthr")
    assert pipe.read() == (["one", "two", "50%", "100%"], False)
    assert pipe.read() == ([], False)
    os.write(write, b"ee\r")
    assert pipe.read() == ([], False)
    os.write(write, b"\n\xff" + b"z" * 40_000)
    lines, _ = pipe.read()
    assert lines[0] == "three"
    assert lines[1].startswith("\ufffdzz")
    os.close(write)
    assert len(pipe.read()[0]) == 1
    os.close(read)
