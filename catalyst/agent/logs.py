"""The lines of a pod on their way out: a cursor over the files that the keeper writes.

The files are the buffer: they are bounded, survive the agent, and what was rotated away before it could be sent is told as
one line in its place. Nothing is sent beyond a window of unacknowledged lines.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import BinaryIO, cast

from catalyst.agent.protocol import LOG_LINES_PER_MESSAGE, LogLine

WINDOW_LINES = 2000
LINES_PER_S = 1000.0  # of one pod, in the long run; the rest waits in the files, and is dropped when it waits too long
BYTES_PER_MESSAGE = 256 * 1024


class LogCursor:
    def __init__(self, folder: Path, acked: int) -> None:
        self.folder = folder
        self.acked = self.sent = acked
        self._file: BinaryIO | None = None
        self._first = 0
        self._allowance, self._allowed_at = float(WINDOW_LINES), time.monotonic()

    def rewind(self) -> None:
        """The connection was lost: what was not acknowledged is sent again."""
        self.sent = self.acked
        self.close()

    def ack(self, n: int) -> None:
        self.acked = max(self.acked, min(n, self.sent))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self) -> list[LogLine]:
        """The next lines to send; none when there are none or too many are unacknowledged."""
        now = time.monotonic()
        self._allowance = min(self._allowance + (now - self._allowed_at) * LINES_PER_S, float(WINDOW_LINES))
        self._allowed_at = now
        limit = min(LOG_LINES_PER_MESSAGE - 1, int(self._allowance))  # one more where lines were dropped
        lines: list[LogLine] = []
        size = 0
        while self.sent - self.acked < WINDOW_LINES and len(lines) < limit and size < BYTES_PER_MESSAGE:
            line = self._next()
            if line is None:
                break
            lost = line["n"] - self.sent - 1
            if lost > 0:
                text = f"{lost} lines were dropped here: they came faster than they could be sent"
                lines.append({"n": line["n"] - 1, "at": line["at"], "stream": "agent", "text": text})
            if lost >= 0:
                lines.append(line)
                self.sent = line["n"]
                size += len(line["text"])
        self._allowance -= len(lines)
        return lines

    def _next(self) -> LogLine | None:
        if self._file is None:
            segments = self._segments()
            before = [first for first in segments if first <= self.sent + 1]
            self._open([*before[-1:], *segments][:1])
        while self._file is not None:
            at = self._file.tell()
            data = self._file.readline()
            if data.endswith(b"\n"):
                try:
                    return cast(LogLine, json.loads(data))
                except ValueError:  # torn when the disk was full
                    continue
            self._file.seek(at)
            later = [first for first in self._segments() if first > self._first]
            if not later:
                return None
            self._open(later[:1])
        return None

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.jsonl"))

    def _open(self, first: list[int]) -> None:
        self.close()
        for self._first in first:
            with contextlib.suppress(FileNotFoundError):  # rotated away just now
                self._file = (self.folder / f"{self._first:012d}.jsonl").open("rb")
