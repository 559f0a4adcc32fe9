"""A checkpoint folder as content-addressed chunks, and back. The folder is a stranger's: no link is ever followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import zstandard
from blake3 import blake3
from pyfastcdc import FastCDC

from catalyst.agent.protocol import (
    CHUNK_AVERAGE_BYTES,
    CHUNK_MAX_BYTES,
    CHUNK_MIN_BYTES,
    Manifest,
    ManifestFile,
    canonical_files,
)
from catalyst.agent.store import Store

ZSTD_LEVEL = 3
TRANSFERS = 4  # at a time
BATCH = 32  # chunks in memory: at most 64 MiB


class BadCheckpoint(Exception):
    """The folder or the manifest is not what a checkpoint can be."""


class Place(NamedTuple):
    """Where in the folder the bytes of a chunk are."""

    path: str
    offset: int
    length: int


def _open(path: str, *, dir_fd: int | None = None) -> BinaryIO:
    """A plain file for reading. Not waiting (a FIFO would), not following a last link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadCheckpoint(f"{path} is not a plain file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _walk(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Every file with its relative path, each opened relative to its folder's descriptor: none can be swapped for a link."""
    for root, folders, names, descriptor in os.fwalk(folder, onerror=_unreadable, follow_symlinks=False):
        folders.sort()
        for name in folders:
            if stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                raise BadCheckpoint(f"{name} is a link; a checkpoint holds plain files and folders only")
        for name in sorted(names):
            path = str(PurePosixPath(Path(root).relative_to(folder)) / name)
            try:
                yield path, _open(name, dir_fd=descriptor)
            except OSError as error:
                raise BadCheckpoint(f"{path}: {error.strerror}") from error


def _unreadable(error: OSError) -> None:
    raise BadCheckpoint(f"{error.filename}: {error.strerror}")


def describe(folder: Path) -> tuple[list[ManifestFile], dict[str, Place]]:
    """The files with the hashes of their chunks, and where each chunk is found."""
    cutter = FastCDC(CHUNK_AVERAGE_BYTES, min_size=CHUNK_MIN_BYTES, max_size=CHUNK_MAX_BYTES)
    files: list[ManifestFile] = []
    places: dict[str, Place] = {}
    for path, file in _walk(folder):
        with file:
            hashes = []
            size = 0
            for chunk in cutter.cut_stream(file):
                name = blake3(chunk.data).hexdigest()
                places.setdefault(name, Place(path, chunk.offset, chunk.length))
                hashes.append(name)
                size += chunk.length
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o777
        files.append({"path": path, "mode": mode, "size": size, "chunks": hashes})
    if not files:
        raise BadCheckpoint("it holds no file")
    return files, places


def root_of(files: list[ManifestFile]) -> str:
    return str(blake3(canonical_files(files)).hexdigest())


def upload(store: Store, pod: str, epoch: int, folder: Path, places: dict[str, Place]) -> None:
    """Send the chunks that the control plane does not have."""

    def send(name: str) -> None:
        place = places[name]
        data = _read(folder, place)
        store.put_chunk(pod, epoch, name, zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(data))

    names = store.missing(pod, epoch, list(places))
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for _ in pool.map(send, names):
            pass


def _read(folder: Path, place: Place) -> bytes:
    """The bytes again; a folder that changed since is no checkpoint any more. The path is walked without links."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        *parents, name = place.path.split("/")
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        with _open(name, dir_fd=descriptor) as file:
            data = os.pread(file.fileno(), place.length, place.offset)
    except OSError as error:
        raise BadCheckpoint(f"{place.path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return data


def download(store: Store, pod: str, epoch: int, manifest: Manifest, target: Path) -> None:
    """Build the checkpoint in `target`, every byte checked against its hash."""
    if root_of(manifest["files"]) != manifest["root"]:
        raise BadCheckpoint("the manifest does not match its root")
    target.mkdir(mode=0o700)
    with ThreadPoolExecutor(TRANSFERS) as pool:
        for file in manifest["files"]:
            path = target / _safe(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as out:
                for at in range(0, len(file["chunks"]), BATCH):
                    names = file["chunks"][at : at + BATCH]
                    for data in pool.map(lambda name: _fetch(store, pod, epoch, name), names):
                        out.write(data)
            path.chmod(file["mode"] & 0o777)


def _fetch(store: Store, pod: str, epoch: int, name: str) -> bytes:
    packed = store.get_chunk(pod, epoch, name)
    try:
        if zstandard.frame_content_size(packed) > CHUNK_MAX_BYTES:
            raise BadCheckpoint(f"chunk {name} is too large")
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=CHUNK_MAX_BYTES)
    except zstandard.ZstdError as error:
        raise BadCheckpoint(f"chunk {name} is damaged") from error
    if blake3(data).hexdigest() != name:
        raise BadCheckpoint(f"chunk {name} has other bytes")
    return data


def _safe(path: str) -> PurePosixPath:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise BadCheckpoint(f"no file may be called {path!r}")
    return parts
