"""`python -m catalyst.agent`: see README.md beside this file."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
import uuid
from typing import Any, TextIO

from catalyst.agent.config import Config, Node, load_node, read_config, save_node
from catalyst.agent.gpus import Gpus
from catalyst.agent.link import Link
from catalyst.agent.machine import measure
from catalyst.agent.memory import Outbox
from catalyst.agent.pods import Pods
from catalyst.agent.protocol import Machine
from catalyst.agent.runtimes import Runtimes
from catalyst.agent.store import Refused, Store, Unreachable

log = logging.getLogger("catalyst.agent")

ENROL_RETRY_S = 1.0
# Of a shutdown, to tell the last states.
LAST_STATES_SHARE, LAST_STATES_S = 0.15, 1.0


class CannotStart(Exception):
    """The message tells the owner what to do."""


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    config = read_config()
    try:
        with _lock(config):
            asyncio.run(_run(config))
    except CannotStart as error:
        log.error("%s", error)
        sys.exit(2)


def _lock(config: Config) -> TextIO:
    """One agent for each folder: two would hold the same pods."""
    lock = (config.state / "agent.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CannotStart(f"another agent runs in {config.state}") from error
    return lock


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    starting = asyncio.create_task(_start(config))
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return
    pods, link, outbox = starting.result()
    working: asyncio.Future[Any] = asyncio.gather(link.run(), pods.assure(), pods.measure())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():  # a defect: the pods stay with their keepers, for the agent that is started next
        working.result()
    log.info("ending: %d pods", len(pods.all()))
    states_s = min(LAST_STATES_SHARE * config.shutdown_s, LAST_STATES_S)
    await pods.shutdown(config.shutdown_s - states_s)
    if link.connected:
        await _deliver(outbox, states_s)
    # A thread may hang in an upload to a control plane that is away: it is of no use any more, and we are done.
    logging.shutdown()
    os._exit(0)


async def _start(config: Config) -> tuple[Pods, Link, Outbox]:
    gpus = Gpus()
    runtimes = await asyncio.to_thread(Runtimes, config)
    machine = measure(config.state, gpus, runtimes.names)
    log.info("runtimes: %s; GPUs: %d", ", ".join(runtimes.names) or "none", len(machine["gpus"]))
    node = load_node(config) or await _enrol(config, machine)
    outbox = Outbox(boot=uuid.uuid4().hex)
    pods = Pods(config, Store(config.server, node), runtimes, outbox, gpus=len(machine["gpus"]))
    await pods.adopt()
    return pods, Link(config, node, machine, pods, outbox, gpus), outbox


async def _enrol(config: Config, machine: Machine) -> Node:
    """Turn the one-time token into an identity, kept in the state folder."""
    if config.token_file is None:
        raise CannotStart("this node is not enrolled yet: give --token-file with a token from the control plane")
    try:
        token = config.token_file.read_text().strip()
    except OSError as error:
        raise CannotStart(f"{config.token_file}: {error.strerror}") from error
    store = Store(config.server, None)
    while True:
        try:
            answer = await asyncio.to_thread(
                store.enrol, {"token": token, "name": config.name, "machine": machine, "share": config.share}
            )
        except Unreachable as error:
            log.warning("%s is not there yet: %s", config.server, error)
            await asyncio.sleep(ENROL_RETRY_S)
        except Refused as refused:
            raise CannotStart(f"the control plane refused to enrol this node: {refused}") from refused
        else:
            node = Node(**answer)
            save_node(config, node)
            return node


async def _deliver(outbox: Outbox, limit_s: float) -> None:
    """The last states, as far as they are acknowledged in time."""
    try:
        async with asyncio.timeout(limit_s):
            while outbox.waiting:
                outbox.changed.clear()
                await outbox.changed.wait()
    except TimeoutError:
        log.warning("%d states were not acknowledged", len(outbox.waiting))


if __name__ == "__main__":
    main()
