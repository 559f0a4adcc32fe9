"""The checkpoints of one pod: committed as they appear, fetched when it comes from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from catalyst.agent.chunks import BadCheckpoint, describe, download, root_of, upload
from catalyst.agent.files import remove
from catalyst.agent.folders import STEP, PodFolder, steps
from catalyst.agent.protocol import Manifest
from catalyst.agent.record import Record
from catalyst.agent.store import Refused, StaleEpoch, Store, Unreachable

SCAN_S = 0.25
RETRY_S = 1.0
KEPT = 2
COMMIT_ATTEMPTS = 3


class Checkpoints:
    def __init__(self, record: Record, folder: PodFolder, store: Store, note: Callable[[str], None]) -> None:
        self.record, self.folder, self.store, self.note = record, folder, store, note
        self.closed = False  # the pod is lost: commit nothing more
        self._bad: set[str] = set()
        self._commit: asyncio.Task[bool] | None = None

    @property
    def newest(self) -> str:
        """Name of the newest folder here, committed or not; empty when there is none."""
        found = steps(self.folder.checkpoints)
        return found[-1][1] if found else ""

    async def watch(self) -> None:
        """Commit what appears. Ends by StaleEpoch alone."""
        while True:
            try:
                await self.commit_newest()
                await asyncio.sleep(SCAN_S)
            except (Unreachable, OSError):  # the control plane is away, or the disk is full
                await asyncio.sleep(RETRY_S)

    async def deliver(self) -> None:
        """Commit what is left of an ended pod, however long the control plane is away."""
        while True:
            try:
                while await self.commit_newest():
                    pass
                return
            except StaleEpoch:
                return
            except (Unreachable, OSError):
                await asyncio.sleep(RETRY_S)

    async def commit_newest(self) -> bool:
        """Commit the newest folder that is not committed, if any. A commit under way is joined, never doubled or cut."""
        if self._commit is None or self._commit.done():
            self._commit = asyncio.create_task(self._commit_next())
            self._commit.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._commit)

    async def _commit_next(self) -> bool:
        name = self._next()
        if not name or self.closed:
            return False
        try:
            manifest = await asyncio.to_thread(self._commit_folder, name)
        except (BadCheckpoint, Refused) as error:
            if isinstance(error, StaleEpoch):
                raise
            self._bad.add(name)
            self.note(f"checkpoint {name} was not taken: {error}")
            return True
        if manifest is not None:
            self.record.sequence, self.record.root, self.record.folder = manifest["sequence"], manifest["root"], name
            self.record.save(self.folder.record)
            await asyncio.to_thread(self._prune)
        return True

    def _next(self) -> str:
        """The newest folder when it is newer than the committed one; those in between need not travel."""
        name = self.newest
        if name in self._bad or name == self.record.folder:
            return ""
        return name

    def _commit_folder(self, name: str) -> Manifest | None:
        path, pod, epoch = self.folder.checkpoints / name, self.record.pod, self.record.epoch
        files, places = describe(path)
        manifest: Manifest = {
            "sequence": (self.record.sequence or 0) + 1,
            "parent": self.record.root,
            "root": root_of(files),
            "step": _step(name),
            "size": sum(file["size"] for file in files),
            "files": files,
        }
        for attempt in range(COMMIT_ATTEMPTS):
            upload(self.store, pod, epoch, path, places)
            if self.closed:
                return None
            try:
                self.store.commit(pod, epoch, manifest)
                return manifest
            except Refused as refused:
                if refused.code not in ("stale_sequence", "missing_chunks") or attempt + 1 == COMMIT_ATTEMPTS:
                    raise
                if refused.code == "stale_sequence" and self._follow(manifest):
                    return manifest  # an answer was lost: ours is committed already
        return None

    def _follow(self, manifest: Manifest) -> bool:
        """Go on from what the control plane calls the latest; True when that is this very checkpoint."""
        latest = self.store.latest(self.record.pod, self.record.epoch)
        if latest is None:
            return False
        if latest["root"] == manifest["root"] and latest["step"] == manifest["step"]:
            manifest["sequence"] = latest["sequence"]
            return True
        manifest["sequence"], manifest["parent"] = latest["sequence"] + 1, latest["root"]
        return False

    def _prune(self) -> None:
        found = [name for _, name in steps(self.folder.checkpoints)]
        for name in found[:-KEPT]:
            remove(self.folder.checkpoints / name)

    async def restore(self) -> str:
        """Make the newest committed checkpoint the only one here. Returns its folder's name, empty when there is none.

        Raises Unreachable, Refused, BadCheckpoint. What was never committed under an earlier epoch is no part of the
        pod's history: another node may have gone on from an older state since.
        """
        latest = await asyncio.to_thread(self.store.latest, self.record.pod, self.record.epoch)
        if latest is None:
            self.forget()
            return ""
        here = self.record.folder if self.record.root == latest["root"] else None
        if here is None or not (self.folder.checkpoints / here).is_dir():
            here = await asyncio.to_thread(self._fetch, latest)
        for entry in self.folder.checkpoints.iterdir():
            if entry.name != here:
                remove_entry(entry)
        self.record.sequence, self.record.root, self.record.folder = latest["sequence"], latest["root"], here
        self.record.step = latest["step"]
        return here

    def forget(self) -> None:
        """Start from nothing."""
        for entry in self.folder.checkpoints.iterdir():
            remove_entry(entry)
        self.record.folder = None

    def _fetch(self, manifest: Manifest) -> str:
        """Into a folder of the agent's own first: the pod's user sees it whole or not at all."""
        new = self.folder.run(self.record.epoch) / "incoming"
        remove(new)
        download(self.store, self.record.pod, self.record.epoch, manifest, new)
        name = f"step-{manifest['step']}"
        remove(self.folder.checkpoints / name)
        new.rename(self.folder.checkpoints / name)
        return name


def remove_entry(entry: Path) -> None:
    """A folder, file or link of the pod's user."""
    if entry.is_dir() and not entry.is_symlink():
        remove(entry)
    else:
        with contextlib.suppress(FileNotFoundError):
            entry.unlink()


def _step(name: str) -> int:
    match = STEP.fullmatch(name)
    return int(match[1]) if match else 0
