"""Checkpoints travel: chunked, committed under the epoch, fetched by whoever has the pod next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from catalyst.agent.chunks import BadCheckpoint, describe, root_of
from catalyst.agent.protocol import CHUNK_MAX_BYTES
from tests.agent.conftest import Agent
from tests.agent.control_plane import ControlPlane

COUNT = ["catalyst-job:count", "--rate", "50", "--checkpoint-every", "10"]
BIG = """
import os, random
folder = os.environ['CATALYST_CHECKPOINT_DIR']
resumed = os.environ['CATALYST_RESUME_FROM']
if resumed:
    import hashlib
    print('resumed', hashlib.sha256(open(resumed + '/model/weights.bin', 'rb').read()).hexdigest())
else:
    os.makedirs(folder + '/.new/model')
    data = random.Random(7).randbytes(6_000_000)
    open(folder + '/.new/model/weights.bin', 'wb').write(data)
    open(folder + '/.new/empty', 'w').close()
    os.chmod(folder + '/.new/empty', 0o640)
    os.rename(folder + '/.new', folder + '/step-12')
"""


def test_a_pod_moves_to_another_machine(pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane) -> None:
    one, two = make_agent("one").start(), make_agent("two").start()
    plane.start_pod(one.node, pod, COUNT)
    plane.wait_checkpoint(pod, beyond=1)
    one.kill()
    latest = plane.checkpoints[pod][-1]
    assert plane.start_pod(two.node, pod, COUNT, epoch=2)["ok"]
    resumed = plane.wait_line(pod, "resumed at step", epoch=2)
    assert int(resumed.split()[3]) == latest["step"]
    assert resumed.split()[-1] == plane.content(latest, "state.json")["checksum"]
    following = plane.wait_checkpoint(pod, beyond=latest["sequence"])
    assert following["parent"] == latest["root"]
    value = "0" * 16
    for n in range(1, following["step"] + 1):
        value = hashlib.sha256(f"{value} {n}".encode()).hexdigest()[:16]
    assert plane.content(following, "state.json")["checksum"] == value
    # The first one comes back and is told nothing: its next commit tells it.
    one.start()
    plane.wait_for("state", pod=pod, epoch=1, state="gone", reason="stale")


def test_a_lost_epoch_commits_nothing_more(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    plane.epochs[pod] = 2
    committed = len(plane.checkpoints[pod])
    plane.wait_for("state", pod=pod, state="gone", reason="stale")
    assert plane.refused_commits[pod] == 1
    assert len(plane.checkpoints[pod]) == committed


def test_large_and_empty_files_come_back_byte_for_byte(
    pod: str, make_agent: Callable[[str], Agent], plane: ControlPlane
) -> None:
    one, two = make_agent("one").start(), make_agent("two").start()
    plane.start_pod(one.node, pod, ["python3", "-c", BIG])
    plane.wait_for("state", pod=pod, state="exited")  # told after its last checkpoint is safe
    manifest = plane.checkpoints[pod][-1]
    files = {file["path"]: file for file in manifest["files"]}
    assert set(files) == {"empty", "model/weights.bin"}
    assert (files["empty"]["mode"], files["empty"]["chunks"]) == (0o640, [])
    assert (manifest["step"], manifest["size"]) == (12, 6_000_000)
    assert len(files["model/weights.bin"]["chunks"]) > 3
    assert all(len(plane.chunks[name]) <= CHUNK_MAX_BYTES for name in files["model/weights.bin"]["chunks"])
    weights = b"".join(plane.chunks[name] for name in files["model/weights.bin"]["chunks"])
    plane.start_pod(two.node, pod, ["python3", "-c", BIG], epoch=2)
    line = plane.wait_line(pod, "resumed", epoch=2)
    assert line == f"resumed {hashlib.sha256(weights).hexdigest()}"


def test_a_checkpoint_that_is_here_already_is_not_fetched(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    plane.command(agent.node, "stop", pod, mode="stop", grace_s=5)
    plane.wait_for("state", pod=pod, state="stopped")
    plane.chunks.clear()  # nothing could be fetched
    plane.start_pod(agent.node, pod, COUNT, epoch=2)
    resumed = plane.wait_line(pod, "resumed at step", epoch=2)
    assert int(resumed.split()[3]) == plane.checkpoints[pod][-1]["step"]


def test_damaged_chunks_are_not_resumed_from(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait_checkpoint(pod)
    plane.command(agent.node, "stop", pod, mode="terminate")
    plane.wait_for("state", pod=pod, state="gone")
    for name in plane.chunks:
        plane.chunks[name] = b"something else"
    plane.start_pod(agent.node, pod, COUNT, epoch=2)
    plane.wait_for("state", pod=pod, epoch=2, state="failed", reason="resume_failed")
    plane.chunks.clear()  # of equal content in other tests


def test_only_the_newest_two_stay(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    plane.wait(lambda: len(plane.checkpoints.get(pod, [])) >= 4, "four checkpoints")
    plane.command(agent.node, "stop", pod, mode="stop", grace_s=5)
    plane.wait_for("state", pod=pod, state="stopped")
    folders = [path.name for path in (agent.state / f"pods/{pod}/checkpoints").iterdir()]
    assert len(folders) == 2
    sequences = [manifest["sequence"] for manifest in plane.checkpoints[pod]]
    assert sequences == sorted(set(sequences))


def test_without_resume_it_starts_from_nothing(pod: str, agent: Agent, plane: ControlPlane) -> None:
    plane.start_pod(agent.node, pod, COUNT)
    first = plane.wait_checkpoint(pod)
    plane.start_pod(agent.node, pod, COUNT, epoch=2, resume=False)
    plane.wait_line(pod, "starting from step 0", epoch=2)
    # Its own checkpoints go on in the pod's one sequence.
    plane.wait_checkpoint(pod, beyond=plane.checkpoints[pod][-1]["sequence"])
    assert first["sequence"] == 1


def test_no_link_is_followed_out_of_a_checkpoint(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    folder = tmp_path / "step-1"
    folder.mkdir()
    (folder / "weights").symlink_to(secret)
    with pytest.raises(BadCheckpoint):
        describe(folder)
    (folder / "weights").unlink()
    (folder / "inner").symlink_to(tmp_path)
    with pytest.raises(BadCheckpoint):
        describe(folder)


def test_a_change_of_one_place_changes_few_chunks(tmp_path: Path) -> None:
    data = bytearray(hashlib.shake_256(b"weights").digest(8_000_000))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(data)
        data[4_000_000:4_000_000] = b"inserted"
    first, places = describe(tmp_path / "one")
    second, later = describe(tmp_path / "two")
    assert root_of(first) != root_of(second)
    assert len(set(later) - set(places)) <= 2 < len(places)
