"""The life of one pod on this machine: prepare, launch, watch, launch again, end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import subprocess
from typing import Literal

from catalyst.agent.checkpoints import Checkpoints
from catalyst.agent.chores import Chores, cancel
from catalyst.agent.chunks import BadCheckpoint
from catalyst.agent.files import remove, used_bytes, write_json
from catalyst.agent.folders import PodFolder
from catalyst.agent.logs import LogCursor
from catalyst.agent.ports import answers, choose_ports
from catalyst.agent.protocol import PodBeat, Reason, State
from catalyst.agent.record import Record
from catalyst.agent.runtimes import CannotRun
from catalyst.agent.runtimes.base import Order
from catalyst.agent.site import Site
from catalyst.agent.store import Refused, StaleEpoch, Unreachable
from catalyst.agent.tether import Status, Tether, last_status
from catalyst.agent.usage import Sampler, Usage

log = logging.getLogger(__name__)

RESTART_DELAYS_S = (0.0, 1.0, 2.0, 4.0, 8.0)
HEALTHY_S = 600.0  # after so long the failures before are forgotten
RUNNING_AFTER_S = 0.2
UP_POLL_S = 0.2
FETCH_ATTEMPTS = 6
LAST_COMMIT_S = 30.0
LAST_LINES_S = 2.0
KILL_TIMEOUT_S = 10.0
KEEPER_EXIT_S = 1.0

Ending = Literal["stop", "shutdown", "terminate", "stale", "replace"]
# A harder ending cuts a softer one short.
HARDNESS: dict[Ending, int] = {"stop": 0, "shutdown": 1, "terminate": 2, "stale": 3, "replace": 4}


class Pod:
    def __init__(self, record: Record, folder: PodFolder, site: Site) -> None:
        self.record, self.folder, self.site = record, folder, site
        self.runtime = site.runtimes.named(record.runtime)
        self.checkpoints = Checkpoints(record, folder, site.store, self.note)
        self.log = LogCursor(folder.run(record.epoch) / "log", record.log_acked)
        self.usage = Usage()
        self._sampler = Sampler()
        self._tether: Tether | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._chores = Chores(record.pod)
        self._ending: Ending | None = None
        self._restart_asked = False
        self._over_limit: Reason = ""
        self._saved_acked = record.log_acked
        self._lines_acked = asyncio.Event()

    # What the agent asks

    def start(self) -> None:
        self._chores.start("life", self._live(adopted=False))

    async def adopt(self) -> None:
        """After a restart of the agent: hold on to what still runs, tell what does not."""
        record = self.record
        self._tether = await Tether.find(self.folder.run(record.epoch), self._heard)
        if record.final:
            await self._leave_keeper()
            self._chores.start("deliver", self.checkpoints.deliver())
        elif self._tether is not None and self._tether.status is not None and self._tether.status["run"] > 0:
            record.run = self._tether.status["run"]  # a launch that was never told to the keeper did not happen
            self._chores.start("life", self._live(adopted=True))
        elif record.run == 0:
            self.start()
        else:
            status = last_status(self.folder.run(record.epoch))
            self.runtime.clear(record.pod, status["pid"] if status else None)
            self._say("gone", "fenced" if status and status["fenced"] else "keeper_lost")

    def end(self, ending: Ending, grace_s: float, commit_s: float = LAST_COMMIT_S) -> asyncio.Task[None]:
        """Begin to end the pod, or go on ending it; a harder ending replaces a softer one."""
        task = self._chores.get("end")
        if task and not task.done() and self._ending and HARDNESS[ending] <= HARDNESS[self._ending]:
            return task
        self._ending = ending
        if ending in ("stale", "replace"):
            self.checkpoints.closed = True
        return self._chores.start("end", self._end(ending, grace_s, commit_s, task))

    def signal(self, name: str) -> bool:
        """Send what the signal stands for; False when no process runs."""
        if self._tether is None or not self._tether.alive:
            return False
        if name == "restart":
            self._restart_asked = True
            self._chores.start("restart", self._kill_after(self.record.spec["grace_s"]))
        numbers = {"crash": signal.SIGKILL, "restart": signal.SIGTERM, "checkpoint": signal.SIGUSR1}
        self._tether.signal(numbers[name])
        return True

    def beat(self) -> PodBeat:
        record = self.record
        return {
            "pod": record.pod,
            "epoch": record.epoch,
            "state": record.state,
            "step": record.step,
            "checkpoint": record.sequence,
        }

    def note(self, text: str) -> None:
        """A line of the agent in the pod's log."""
        log.info("pod %s/%s: %s", self.record.pod, self.record.epoch, text)
        if self._tether is not None:
            self._tether.note(text)

    def measure(self, *, disk: bool) -> None:
        """What the pod uses now. Runs in a thread; disk is the dear part."""
        if self._tether is None or not self._tether.alive or self._tether.status is None:
            return
        roots = self.runtime.roots(self.record.pod, self._tether.status["keeper"])
        self.usage.cpu_percent, self.usage.ram_bytes = self._sampler.sample(roots)
        if disk or not self.usage.disk_bytes:
            self.usage.disk_bytes = used_bytes(self.folder.path)

    def assure(self) -> None:
        """Once a second: hold the fence open, end a process that uses more than it may, keep how far the log went."""
        if self._keeper is not None:
            self._keeper.poll()
        if self._tether is not None:
            self._tether.assure()
            self._enforce(self._tether)
        if self.record.log_acked != self._saved_acked and self.record.state != "gone":
            self.record.save(self.folder.record)
            self._saved_acked = self.record.log_acked

    def _enforce(self, tether: Tether) -> None:
        limits, usage = self.record.spec["limits"], self.usage
        over: Reason = ""
        if usage.ram_bytes > limits.get("ram_bytes", usage.ram_bytes):
            over = "memory_limit"
        elif usage.disk_bytes > limits.get("disk_bytes", usage.disk_bytes):
            over = "disk_limit"
        if over and tether.alive and not self._over_limit:
            self._over_limit = over
            self.note(f"ended: {over}: {usage.ram_bytes} bytes of RAM and {usage.disk_bytes} bytes of disk in use")
            tether.signal(signal.SIGKILL)

    def acked(self, n: int) -> None:
        self.log.ack(n)
        self.record.log_acked = self.log.acked
        self._lines_acked.set()

    async def leave(self) -> None:
        """Let go of the pod: it goes on under its keeper."""
        await self._chores.end()
        if self._tether is not None:
            self._tether.close()
        self.log.close()

    # Its life

    async def _live(self, *, adopted: bool) -> None:
        try:
            if not adopted:
                await self._prepare()
                await self._launch()
            self._chores.start("watch", self._watch_checkpoints())
            while True:
                status = await self._until_exit()
                if self._fenced():
                    return self._say("gone", "fenced")
                delay_s = self._next_launch(status)
                if delay_s is None:
                    return await self._finish(status)
                await asyncio.sleep(delay_s)
                await self._launch()
        except StaleEpoch:
            self.site.lost(self.record)
        except (CannotRun, OSError) as reason:
            await self._fail(f"the pod cannot be started: {reason}", "runtime_failed")
        except (Unreachable, Refused, BadCheckpoint) as reason:
            await self._fail(f"the checkpoint could not be fetched: {reason}", "resume_failed")

    async def _fail(self, text: str, reason: Reason) -> None:
        self.note(text)
        await self._leave_keeper()
        self._say("failed", reason)

    def _fenced(self) -> bool:
        status = last_status(self.folder.run(self.record.epoch))
        return status is not None and status["fenced"]

    async def _prepare(self) -> None:
        self._say("starting", "")
        self.folder.make(self.record.epoch)
        self._hold()
        if not self.record.spec["resume"]:
            self.checkpoints.forget()
            return
        for attempt in range(FETCH_ATTEMPTS):
            try:
                name = await self.checkpoints.restore()
                break
            except Unreachable:
                if attempt + 1 == FETCH_ATTEMPTS:
                    raise
                await asyncio.sleep(2.0**attempt / 4)
        if name:
            self.note(f"resuming from checkpoint {self.record.sequence} ({name})")

    def _hold(self) -> None:
        """Have a keeper."""
        if self._tether is None or self._tether.lost:
            run = self.folder.run(self.record.epoch)
            self._tether, self._keeper = Tether.start(run, self.site.config.fence_s, self._heard)

    async def _launch(self) -> None:
        self._hold()
        record = self.record
        record.run += 1
        record.ports = choose_ports(record.spec["ports"], record.ports)
        order = Order(
            pod=record.pod,
            epoch=record.epoch,
            run=record.run,
            spec=record.spec,
            folder=self.folder,
            ports={port: record.ports[str(port)] for port in record.spec["ports"]},
            resume=self.checkpoints.newest,
            gpus=self.site.gpus,
        )
        launch = await asyncio.to_thread(self.runtime.prepare, order)
        if record.run == 1:
            for note in launch.notes:
                self.note(note)
        self._restart_asked, self._over_limit, self.usage = False, "", Usage()
        write_json(self.folder.run(record.epoch) / "launch.json", launch.as_json())
        record.save(self.folder.record)
        assert self._tether is not None
        self._tether.launch()

    async def _until_exit(self) -> Status | None:
        """How the running launch ended; None when its keeper was lost."""
        tether, run = self._tether, self.record.run
        assert tether is not None
        if self.record.state != "running":
            self._chores.start("probe", self._announce(tether, run))
        ended = await tether.wait(lambda status: status["run"] == run and not status["alive"])
        await self._chores.end("probe", "restart")
        return tether.status if ended else None

    async def _announce(self, tether: Tether, run: int) -> None:
        """Say `running` when a probe reached it: its first port, or else its first word or 0.2 s of life."""
        if not await tether.wait(lambda status: status["run"] == run and status["alive"]):
            return
        ports = self.record.spec["ports"]
        if ports:
            await answers(self.record.ports[str(ports[0])])
        else:
            await self._is_up(tether)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RUNNING_AFTER_S):
                    await tether.wait(lambda status: status["n"] >= status["first_n"])
        if tether.alive:
            self.record.exit_code = self.record.signal = None
            self._say("running", "")

    async def _is_up(self, tether: Tether) -> None:
        """A container takes its time, and its image may have to come first."""
        while tether.status is not None:
            if await asyncio.to_thread(self.runtime.roots, self.record.pod, tether.status["keeper"]):
                return
            await asyncio.sleep(UP_POLL_S)

    def _next_launch(self, status: Status | None) -> float | None:
        """How long to wait before the next launch; None when the pod is over. Says `restarting` when it is not."""
        record, policy = self.record, self.record.spec["restart_policy"]
        record.exit_code = status["exit_code"] if status else None
        record.signal = status["signal"] if status else None
        if self._restart_asked:
            self._say("restarting", "restart_requested")
            return 0.0
        if status and status["lived_s"] >= HEALTHY_S:
            record.restarts = 0
        completed = status is not None and status["exit_code"] == 0
        if policy == "never" or (policy == "on-failure" and (completed or record.restarts >= len(RESTART_DELAYS_S))):
            return None
        if status is None:
            leader = last_status(self.folder.run(record.epoch))
            self.runtime.clear(record.pod, leader["pid"] if leader else None)
        delay_s = RESTART_DELAYS_S[min(record.restarts, len(RESTART_DELAYS_S) - 1)]
        record.restarts += 1
        self._say("restarting", "completed" if completed else self._cause(status))
        return delay_s

    def _cause(self, status: Status | None) -> Reason:
        return "keeper_lost" if status is None else self._over_limit or "crashed"

    async def _finish(self, status: Status | None) -> None:
        """Over by itself: its last checkpoint first, so that who hears of the end finds it."""
        await self._last_commit(LAST_COMMIT_S)
        await self._leave_keeper()
        if status is not None and status["exit_code"] == 0:
            self._say("exited", "completed")
        else:
            self._say("failed", self._cause(status))

    async def _end(self, ending: Ending, grace_s: float, commit_s: float, before: asyncio.Task[None] | None) -> None:
        await cancel(before)
        await self._chores.end("life", "restart", "probe")
        await self._end_process(0.0 if ending in ("stale", "replace") else grace_s)
        await self._chores.end("watch", "deliver")
        if ending in ("stop", "shutdown", "terminate"):
            await self._last_commit(commit_s)
        await self._leave_keeper()
        if ending in ("stop", "shutdown"):
            if self.record.final:  # it had ended before
                self.site.report(self.record)
            else:
                self._say("stopped", "stopped" if ending == "stop" else "agent_shutdown")
        elif ending in ("terminate", "stale"):
            if ending == "terminate":
                await self._last_lines()
            self.record.state = "gone"
            remove(self.folder.path)
            self._say("gone", "terminated" if ending == "terminate" else "stale")

    async def _end_process(self, grace_s: float) -> None:
        """SIGTERM, grace, SIGKILL; returns when nothing runs any more."""
        tether = self._tether
        if tether is None or not tether.alive:
            return
        run = self.record.run
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_TIMEOUT_S)):
            if wait_s > 0:
                tether.signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await tether.wait(lambda status: status["run"] == run and not status["alive"])
                        break
        if tether.status is not None:
            self.record.exit_code, self.record.signal = tether.status["exit_code"], tether.status["signal"]

    async def _kill_after(self, grace_s: float) -> None:
        """A restart that was asked for does not wait for ever."""
        await asyncio.sleep(grace_s)
        if self._tether is not None:
            self._tether.signal(signal.SIGKILL)

    async def _watch_checkpoints(self) -> None:
        try:
            await self.checkpoints.watch()
        except StaleEpoch:
            self.site.lost(self.record)

    async def _last_commit(self, limit_s: float) -> None:
        """What the process left, as far as the time goes; the rest follows when the control plane is back."""
        await self._chores.end("watch")
        deliver = self._chores.start("deliver", self.checkpoints.deliver())
        await asyncio.wait([deliver], timeout=limit_s)

    async def _last_lines(self) -> None:
        """Let the last words be heard before their files are removed."""
        status = self._tether.status if self._tether is not None else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_LINES_S):
                while status is not None and self.log.acked < status["n"]:
                    self._lines_acked.clear()
                    await self._lines_acked.wait()

    async def _leave_keeper(self) -> None:
        if self._tether is not None and not self._tether.lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_TIMEOUT_S):
                    await self._tether.end()
        if self._keeper is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._keeper.wait, KEEPER_EXIT_S)

    def _heard(self) -> None:
        if self._tether is not None and self._tether.status is not None and self._tether.status["step"] is not None:
            self.record.step = self._tether.status["step"]
        self.site.lines()

    def _say(self, state: State, reason: Reason) -> None:
        self.record.state, self.record.reason = state, reason
        with contextlib.suppress(OSError):  # the folder is removed, or the disk full: telling it matters more
            self.record.save(self.folder.record)
        self.site.report(self.record)
