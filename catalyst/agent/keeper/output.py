"""The output of a pod as numbered lines in files of bounded size."""

from __future__ import annotations

import json
import os
import re
import time

SEGMENT_BYTES = 1024 * 1024
SEGMENTS = 8
LINE_CHARACTERS = 16 * 1024
READ_BYTES = 64 * 1024
LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")


class Log:
    """Lines in segments `<first n>.jsonl`, the oldest removed. A full disk costs lines, never the pod."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.n = self._last_n()
        self.pending: list[bytes] = []
        self.torn = False
        self.file = self._open()

    def _segments(self) -> list[str]:
        return sorted(name for name in os.listdir(self.folder) if name.endswith(".jsonl"))

    def _last_n(self) -> int:
        """Number of the last whole line; a line torn by a killed keeper is cut off."""
        segments = self._segments()
        if not segments:
            return 0
        with open(os.path.join(self.folder, segments[-1]), "rb+") as file:
            data = file.read()
            file.truncate(data.rfind(b"\n") + 1)
        for line in reversed(data.split(b"\n")[:-1]):
            try:
                return int(json.loads(line)["n"])
            except ValueError:
                continue
        return int(segments[-1].split(".")[0]) - 1

    def _open(self) -> int:
        path = os.path.join(self.folder, f"{self.n + 1:012d}.jsonl")
        segments = self._segments()
        if segments and os.path.getsize(os.path.join(self.folder, segments[-1])) < SEGMENT_BYTES:
            path = os.path.join(self.folder, segments[-1])
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, stream: str, text: str) -> None:
        self.n += 1
        line = {"n": self.n, "at": time.time(), "stream": stream, "text": text.replace("\x00", "\ufffd")}
        self.pending.append(json.dumps(line).encode() + b"\n")

    def flush(self) -> None:
        data = b"\n" * self.torn + b"".join(self.pending)
        self.pending.clear()
        try:
            self.torn = os.write(self.file, data) < len(data)
            if os.fstat(self.file).st_size >= SEGMENT_BYTES:
                self._rotate()
        except OSError:
            self.torn = True

    def _rotate(self) -> None:
        before, self.file = self.file, self._open()
        os.close(before)
        for name in self._segments()[:-SEGMENTS]:
            os.unlink(os.path.join(self.folder, name))


class Pipe:
    """One output stream of the process, cut into lines. A carriage return ends a line too: progress bars use it."""

    def __init__(self, fd: int, stream: str) -> None:
        os.set_blocking(fd, False)
        self.fd, self.stream, self.rest = fd, stream, b""

    def read(self) -> tuple[list[str], bool]:
        """New lines, and whether the stream has ended."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return [], False
        if not data:
            return ([self.rest.decode(errors="replace")] if self.rest else []), True
        *lines, self.rest = LINE_END.split(self.rest + data)
        while len(self.rest) > LINE_CHARACTERS:
            lines.append(self.rest[:LINE_CHARACTERS])
            self.rest = self.rest[LINE_CHARACTERS:]
        pieces = (line[at : at + LINE_CHARACTERS] for line in lines for at in range(0, len(line) or 1, LINE_CHARACTERS))
        return [piece.decode(errors="replace") for piece in pieces], False
