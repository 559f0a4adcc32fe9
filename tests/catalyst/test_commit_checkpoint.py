"""Checkpoints count only while their epoch is the pod's own."""

from __future__ import annotations

import threading
from typing import Any

import blake3
import pytest
import zstandard
from django.db import connection
from django.test import Client

from catalyst.agent.protocol import Manifest, authorization, canonical_files
from catalyst.models import Checkpoint, Node
from catalyst.nodes import Enrolled
from lib.errors import AppError
from pods.models import Pod
from tests.catalyst.conftest import Placed, alive, enrol, place
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.django_db
BYTES = b"weights " * 1000
DIGEST = blake3.blake3(BYTES).hexdigest()


def manifest(sequence: int, digest: str = DIGEST, path: str = "model.bin") -> Manifest:
    files: Any = [{"path": path, "mode": 0o644, "size": len(BYTES), "chunks": [digest]}]
    root = blake3.blake3(canonical_files(files)).hexdigest()
    return {"sequence": sequence, "parent": None, "root": root, "step": sequence * 10, "size": 8000, "files": files}


class Agent:
    """The HTTP side of a node's agent."""

    def __init__(self, client: Client, enrolled: Enrolled, pod: Pod, epoch: int = 1) -> None:
        self.client = client
        self.base = f"/api/v2/nodes/pods/{pod.pk}/{epoch}"
        self.header = authorization(str(enrolled.node.pk), enrolled.key)

    def post(self, path: str, body: Any) -> Any:
        return self.client.post(
            f"{self.base}/{path}", body, content_type="application/json", headers={"authorization": self.header}
        )

    def put_chunk(self, digest: str, body: bytes) -> Any:
        return self.client.put(
            f"{self.base}/chunks/{digest}",
            body,
            content_type="application/octet-stream",
            headers={"authorization": self.header},
        )

    def get(self, path: str) -> Any:
        return self.client.get(f"{self.base}/{path}", headers={"authorization": self.header})


@pytest.fixture
def agent(client: Client, enrolled: Enrolled, placed: Placed) -> Agent:
    return Agent(client, enrolled, placed.pod)


def code_of(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


def test_upload_commit_and_fetch_again(agent: Agent) -> None:
    assert agent.get("checkpoints/latest").status_code == 404
    assert agent.post("chunks/missing", {"chunks": [DIGEST]}).json() == {"missing": [DIGEST]}
    assert code_of(agent.post("checkpoints", manifest(1))) == "missing_chunks"
    assert agent.put_chunk(DIGEST, zstandard.compress(BYTES)).status_code == 204
    assert agent.post("chunks/missing", {"chunks": [DIGEST]}).json() == {"missing": []}
    assert agent.post("checkpoints", manifest(1)).json() == {"sequence": 1}
    assert agent.get("checkpoints/latest").json()["root"] == manifest(1)["root"]
    assert zstandard.decompress(agent.get(f"chunks/{DIGEST}").content) == BYTES


def test_wrong_bytes_are_refused(agent: Agent) -> None:
    assert agent.put_chunk(DIGEST, zstandard.compress(b"other")).status_code == 422
    assert agent.put_chunk(DIGEST, b"no zstd").status_code == 422
    bomb = zstandard.compress(b"\0" * 50_000_000)
    assert agent.put_chunk(blake3.blake3(b"\0" * 50_000_000).hexdigest(), bomb).status_code == 422
    assert agent.put_chunk("../../etc/passwd", b"x").status_code in {404, 422}
    assert agent.post("chunks/missing", {"chunks": ["../../etc/passwd"]}).status_code == 422


def test_paths_stay_in_the_folder(agent: Agent) -> None:
    agent.put_chunk(DIGEST, zstandard.compress(BYTES))
    for path in ("../out", "/etc/passwd", "a/../../b"):
        assert code_of(agent.post("checkpoints", manifest(1, path=path))) == "bad_path"
    assert not Checkpoint.objects.exists()


def test_sequences_only_rise(agent: Agent) -> None:
    agent.put_chunk(DIGEST, zstandard.compress(BYTES))
    assert agent.post("checkpoints", manifest(5)).status_code == 201
    for sequence in (5, 4):
        answer = agent.post("checkpoints", manifest(sequence))
        assert (answer.status_code, code_of(answer)) == (409, "stale_sequence")


def test_an_old_epoch_commits_nothing(agent: Agent, placed: Placed) -> None:
    agent.put_chunk(DIGEST, zstandard.compress(BYTES))
    Pod.objects.filter(pk=placed.pod.pk).update(epoch=2)
    answer = agent.post("checkpoints", manifest(1))
    assert (answer.status_code, code_of(answer)) == (409, "stale_epoch")
    assert not Checkpoint.objects.exists()


def test_another_nodes_pod_does_not_exist(client: Client, agent: Agent) -> None:
    """Also when it has the chunk's name: content is read only by those whose checkpoint names it."""
    agent.put_chunk(DIGEST, zstandard.compress(BYTES))
    agent.post("checkpoints", manifest(1))
    stranger = enrol("two")
    theirs = place(alive(stranger.node), name="other")
    other = Agent(client, stranger, theirs.pod)
    assert other.get(f"chunks/{DIGEST}").status_code == 404
    other.base = agent.base
    assert other.get("checkpoints/latest").status_code == 404
    other.header = "Node x:y"
    assert other.get("checkpoints/latest").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_a_commit_and_a_move_at_once_leave_no_late_commit(enrolled: Enrolled) -> None:
    """The fence on two real connections: the row that commits holds the epoch, so the move waits for it."""
    from accounts import actor
    from catalyst import checkpoints
    from pods.moves import begin_move
    from pods.states import Reason

    node: Node = alive(enrolled.node)
    placed = place(node)
    checkpoints.put_chunk(DIGEST, zstandard.compress(BYTES))
    outcome: list[str] = []
    ready = threading.Barrier(2)

    def commit() -> None:
        ready.wait(PATIENCE_S)
        try:
            for sequence in range(1, 2000):
                checkpoints.commit(pod_id=placed.pod.pk, epoch=1, manifest=manifest(sequence))
        except AppError as refusal:
            outcome.append(refusal.code)
        finally:
            connection.close()

    thread = threading.Thread(target=commit)
    thread.start()
    ready.wait(PATIENCE_S)
    begin_move(pod_id=placed.pod.pk, seen_epoch=1, reason=Reason.NODE_LOST, actor=actor.worker("test"))
    before = Checkpoint.objects.count()
    thread.join(PATIENCE_S)
    assert outcome == ["stale_epoch"]
    assert Checkpoint.objects.count() == before, "nothing was committed after the move"
