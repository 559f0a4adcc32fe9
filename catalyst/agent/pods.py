"""All pods of this machine, and the commands that change them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from catalyst.agent.config import Config
from catalyst.agent.files import remove
from catalyst.agent.folders import PodFolder
from catalyst.agent.memory import Commands, Epochs, Outbox
from catalyst.agent.pod import Pod
from catalyst.agent.protocol import Done, PodBeat, PodHello, Reason, RefusalCode, State, StateMessage
from catalyst.agent.record import Record, load_record
from catalyst.agent.runtimes import CannotRun, Runtimes
from catalyst.agent.site import Site
from catalyst.agent.specs import BadCommand, read_grace, read_mode, read_spec, read_target, require
from catalyst.agent.store import Store

log = logging.getLogger(__name__)

TICK_S = 1.0
DISK_EVERY = 5  # ticks
# Of a shutdown: for the end of what ignored SIGTERM, and for the last checkpoint.
KILL_S = 0.2
LAST_COMMIT_SHARE, LAST_COMMIT_S = 0.3, 1.5


class Pods:
    def __init__(self, config: Config, store: Store, runtimes: Runtimes, outbox: Outbox, *, gpus: int) -> None:
        self.config, self.runtimes, self.outbox = config, runtimes, outbox
        self.commands = Commands(config.state / "commands.jsonl")
        self.epochs = Epochs(config.state / "epochs.json")
        self.lines = asyncio.Event()
        self._pods: dict[str, Pod] = {}
        self._closing = False
        self._discards: set[asyncio.Task[None]] = set()
        self._site = Site(config, store, runtimes, gpus, self._report, self.lines.set, self._lost)

    def all(self) -> list[Pod]:
        return list(self._pods.values())

    async def adopt(self) -> None:
        """Find again what an earlier agent of this folder left."""
        self.config.pods.mkdir(mode=0o711, exist_ok=True)
        for path in sorted(self.config.pods.iterdir()):
            record = load_record(path / "record.json")
            if record is None or record.state == "gone":
                remove(path)
                continue
            pod = self._pods[record.pod] = Pod(record, PodFolder(path), self._site)
            await pod.adopt()
            if pod.record.state != "gone":
                self._report(pod.record)

    def hello(self) -> list[PodHello]:
        return [{**pod.beat(), "exit_code": pod.record.exit_code} for pod in self.all()]

    def beats(self) -> list[PodBeat]:
        return [pod.beat() for pod in self.all()]

    async def obey(self, message: dict[str, Any]) -> Done:
        """Do a command once, however often it comes."""
        command = str(message.get("id", ""))
        before = self.commands.find(command)
        if before is not None:
            return before
        try:
            require(bool(command), "a command needs an id")
            code, text = await self._do(message)
        except BadCommand as error:
            code, text = ("bad_spec" if message.get("type") == "start" else "bad_command"), str(error)
        except CannotRun as error:
            code, text = "runtime_unavailable", str(error)
        # Ending what is not here is no failure: what was wanted is so.
        ok = code == "" or (code == "unknown_pod" and message.get("type") == "stop")
        done: Done = {"type": "done", "id": command, "ok": ok, "code": code, "message": text}
        if command:
            self.commands.add(done)
        return done

    async def _do(self, message: dict[str, Any]) -> tuple[RefusalCode, str]:
        pod, epoch = read_target(message)
        if message["type"] == "start":
            return await self._start(pod, epoch, message)
        if message["type"] == "stop":
            return self._stop(pod, epoch, message)
        return self._signal(pod, epoch, message)

    async def _start(self, pod: str, epoch: int, message: dict[str, Any]) -> tuple[RefusalCode, str]:
        known = self.epochs.get(pod)
        if epoch < known:
            return "stale_epoch", f"epoch {known} of the pod is known here"
        before = self._pods.get(pod)
        if before is not None and before.record.epoch == epoch:
            self._report(before.record)
            return "", ""
        spec = read_spec(message.get("spec"))
        if self._closing:
            raise CannotRun("this agent is ending")
        record = Record(pod=pod, epoch=epoch, spec=spec, runtime=self.runtimes.choose(spec).name)
        self.epochs.see(pod, epoch)
        folder = PodFolder(self.config.pods / pod)
        if before is not None:
            await before.end("replace", 0.0)
            await before.leave()
            remove(folder.run(before.record.epoch))
            record.sequence, record.root = before.record.sequence, before.record.root
            record.folder = before.record.folder
        folder.make(epoch)
        record.save(folder.record)
        self._pods[pod] = Pod(record, folder, self._site)
        self._pods[pod].start()
        return "", ""

    def _stop(self, pod: str, epoch: int, message: dict[str, Any]) -> tuple[RefusalCode, str]:
        mode = read_mode(message.get("mode"))
        here = self._pods.get(pod)
        if here is None or here.record.epoch > epoch:
            self._tell_gone(pod, epoch)
            return "unknown_pod", "not here"
        if here.record.epoch < epoch:  # the control plane knows a newer one: ours is over
            here.end("stale", 0.0)
            self._tell_gone(pod, epoch)
            return "unknown_pod", "an older epoch was here and is ended"
        here.end(mode, read_grace(message.get("grace_s", here.record.spec["grace_s"])))
        return "", ""

    def _signal(self, pod: str, epoch: int, message: dict[str, Any]) -> tuple[RefusalCode, str]:
        name = message.get("name")
        require(name in ("crash", "restart", "checkpoint"), "name must be crash, restart or checkpoint")
        here = self._pods.get(pod)
        if here is None or here.record.epoch != epoch:
            return "unknown_pod", "not here"
        return ("", "") if here.signal(str(name)) else ("not_running", f"the pod is {here.record.state}")

    def _report(self, record: Record) -> None:
        message = state_message(self.outbox.new_id(), record.pod, record.epoch, record.state, record.reason)
        message["exit_code"], message["signal"] = record.exit_code, record.signal
        message["restarts"], message["ports"] = record.restarts, dict(record.ports)
        self.outbox.put(message)
        pod = self._pods.get(record.pod)
        if record.state == "gone" and pod is not None and pod.record is record:
            del self._pods[record.pod]
            task = asyncio.create_task(self._discard(pod))
            self._discards.add(task)
            task.add_done_callback(self._discards.discard)

    def _tell_gone(self, pod: str, epoch: int) -> None:
        self.outbox.put(state_message(self.outbox.new_id(), pod, epoch, "gone", "unknown_pod"))

    async def _discard(self, pod: Pod) -> None:
        await pod.leave()
        if pod.record.pod not in self._pods:
            remove(pod.folder.path)

    def _lost(self, record: Record) -> None:
        log.warning("pod %s/%s: a newer epoch exists, nothing more is committed here", record.pod, record.epoch)
        pod = self._pods.get(record.pod)
        if pod is not None and pod.record is record:
            pod.end("stale", 0.0)

    async def assure(self) -> None:
        """For ever: tell the keepers that the agent lives."""
        while True:
            for pod in self.all():
                try:
                    pod.assure()
                except Exception:  # one pod's trouble must not close the fences of the others
                    log.exception("pod %s", pod.record.pod)
            await asyncio.sleep(TICK_S)

    async def measure(self) -> None:
        """For ever: what the pods use. Looking takes at most a tenth of the time, however large their folders are."""
        count = 0
        while True:
            begun = time.monotonic()
            for pod in self.all():
                try:
                    await asyncio.to_thread(pod.measure, disk=count % DISK_EVERY == 0)
                except Exception:
                    log.exception("measuring pod %s", pod.record.pod)
            count += 1
            await asyncio.sleep(max(TICK_S, 9 * (time.monotonic() - begun)))

    async def shutdown(self, limit_s: float) -> None:
        """Checkpoint and end every pod within the limit."""
        self._closing = True
        commit_s = min(LAST_COMMIT_SHARE * limit_s, LAST_COMMIT_S)
        longest_s = max(limit_s - commit_s - KILL_S, 0.0)
        ends = [pod.end("shutdown", min(pod.record.spec["grace_s"], longest_s), commit_s) for pod in self.all()]
        if ends:
            await asyncio.wait(ends, timeout=limit_s)
        for pod in self.all():
            await pod.leave()


def state_message(message: str, pod: str, epoch: int, state: State, reason: Reason) -> StateMessage:
    return {
        "type": "state",
        "id": message,
        "pod": pod,
        "epoch": epoch,
        "state": state,
        "exit_code": None,
        "signal": None,
        "reason": reason,
        "restarts": 0,
        "at": time.time(),
        "ports": {},
    }
