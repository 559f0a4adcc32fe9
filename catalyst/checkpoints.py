"""Committed states of pods. A commit counts only while its epoch is the pod's own; chunks are named by their content."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import blake3
import zstandard
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from catalyst.agent.protocol import CHUNK_MAX_BYTES, Manifest, canonical_files
from catalyst.models import Checkpoint, Node, NodePod
from lib.errors import AppError, Conflict, Invalid, NotFound
from lib.push import pod_group, push

MAX_FILES = 10_000
MAX_CHUNKS = 200_000


def require_placed(node: Node, pod_id: UUID, epoch: int) -> NodePod:
    """The node's own placement of this pod and epoch; others do not exist for it."""
    found = NodePod.objects.filter(node=node, pod_id=pod_id, epoch=epoch).first()
    if found is None:
        raise NotFound(_("This node holds no such pod."))
    return found


def missing_chunks(hashes: Iterable[str]) -> list[str]:
    """Those of `hashes` that are not stored yet, in order and once each."""
    store = _store()
    return [digest for digest in dict.fromkeys(hashes) if not store.exists(_path(_checked(digest)))]


def put_chunk(digest: str, body: bytes) -> None:
    """Store a zstd-compressed chunk after checking that its plain bytes have this hash."""
    _checked(digest)
    try:
        # Read as a stream: a small frame may claim to hold gigabytes.
        plain = zstandard.ZstdDecompressor().stream_reader(body).read(CHUNK_MAX_BYTES + 1)
    except zstandard.ZstdError:
        raise Invalid(_("This is not a zstd frame."), code="bad_chunk") from None
    if len(plain) > CHUNK_MAX_BYTES:
        raise Invalid(_("A chunk has at most 2 MiB."), code="bad_chunk")
    if blake3.blake3(plain).hexdigest() != digest:
        raise Invalid(_("The bytes do not have this hash."), code="bad_chunk")
    store = _store()
    if not store.exists(_path(digest)):
        store.save(_path(digest), ContentFile(body))


def get_chunk(digest: str) -> bytes:
    store = _store()
    if not store.exists(_path(_checked(digest))):
        raise NotFound(_("This chunk is not stored."))
    with store.open(_path(digest)) as file:
        return bytes(file.read())


def require_chunk_of(pod_id: UUID, digest: str) -> None:
    """A chunk is read only by those who hold a checkpoint of theirs that names it."""
    newest = latest(pod_id)
    if newest is None or not any(digest in file["chunks"] for file in newest.manifest["files"]):
        raise NotFound(_("No checkpoint of this pod has this chunk."))


def commit(*, pod_id: UUID, epoch: int, manifest: Manifest) -> Checkpoint:
    """Insert the row that makes a checkpoint count.

    Raises 409 `stale_epoch` when the pod has moved on, 409 `stale_sequence`, 422 `missing_chunks`.
    """
    digests = _check_manifest(manifest)
    if missing_chunks(digests):
        raise Invalid(_("Some chunks are not stored yet."), code="missing_chunks")
    with transaction.atomic():
        _hold_epoch(pod_id, epoch)
        newest = Checkpoint.objects.filter(pod_id=pod_id).order_by("-sequence").first()
        if newest is not None and manifest["sequence"] <= newest.sequence:
            raise Conflict(_("A newer checkpoint has already been committed."), code="stale_sequence")
        try:
            with transaction.atomic():
                row = _insert(pod_id, epoch, manifest, newest)
        except IntegrityError:
            raise Conflict(_("This sequence is committed already."), code="stale_sequence") from None
        event = {"type": "pod.checkpoint", "id": row.pod.public_id, "sequence": row.sequence, "step": row.step}
        push(pod_group(pod_id), event)
    return row


def latest(pod_id: UUID) -> Checkpoint | None:
    return Checkpoint.objects.filter(pod_id=pod_id).order_by("-sequence").first()


def _insert(pod_id: UUID, epoch: int, manifest: Manifest, newest: Checkpoint | None) -> Checkpoint:
    known = {c for file in newest.manifest["files"] for c in file["chunks"]} if newest else set()
    new_bytes = sum(
        file["size"] for file in manifest["files"] if not known.issuperset(file["chunks"])
    )  # per file: the sizes of single chunks are not in the manifest
    return Checkpoint.objects.create(
        pod_id=pod_id,
        epoch=epoch,
        sequence=manifest["sequence"],
        step=manifest["step"],
        root=manifest["root"],
        parent=manifest["parent"] or "",
        manifest=manifest,
        size_bytes=manifest["size"],
        new_bytes=new_bytes,
    )


def _hold_epoch(pod_id: UUID, epoch: int) -> None:
    """The fence: nobody raises the epoch while we commit, and we commit only at the pod's own epoch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pods_pod WHERE id = %s AND epoch = %s FOR SHARE", [pod_id, epoch])
        if cursor.fetchone() is None:
            raise Conflict(_("This pod runs as a newer epoch elsewhere."), code="stale_epoch")


def _check_manifest(manifest: Manifest) -> list[str]:
    files = manifest["files"]
    digests = [_checked(digest) for file in files for digest in file["chunks"]]
    if len(files) > MAX_FILES or len(digests) > MAX_CHUNKS:
        raise AppError(_("This checkpoint has too many files or chunks."), code="too_large", status=413)
    for file in files:
        if file["path"].startswith("/") or ".." in file["path"].split("/") or "\0" in file["path"]:
            raise Invalid(_("A path leaves the checkpoint's folder."), code="bad_path")
    if blake3.blake3(canonical_files(files)).hexdigest() != manifest["root"]:
        raise Invalid(_("The root does not match the files."), code="bad_root")
    return digests


def _checked(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise Invalid(_("This is not a blake3 hash."), code="bad_hash")
    return digest


def _path(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:4]}/{digest}.zst"


def _store() -> Storage:
    return storages["chunks"]
