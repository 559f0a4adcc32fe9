"""The other side of the agent's protocol, in this process: a real HTTP and websocket server that remembers all it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
import zstandard
from blake3 import blake3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from catalyst.agent.protocol import canonical_files

DEADLINE_S = 20.0
TOKEN = "one-time-token"
Message = dict[str, Any]


def refusal(status: int, code: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": code.replace("_", " "), "fields": {}}}, status)


class ControlPlane:
    """Set `epochs[pod]` to move a pod: commits of lower epochs are refused from then on."""

    def __init__(self) -> None:
        self.tokens = {TOKEN}
        self.keys: dict[str, str] = {}
        self.enrolments: list[Message] = []
        self.heard: list[Message] = []
        self.chunks: dict[str, bytes] = {}
        self.checkpoints: dict[str, list[Message]] = {}
        self.epochs: dict[str, int] = {}
        self.refused_commits: dict[str, int] = {}
        self.ack_states = True
        self._changed = threading.Condition()
        self._sockets: dict[str, WebSocket] = {}
        self._commands = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    # The server

    def start(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        config = uvicorn.Config(
            self._app(), log_level="error", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._server.serve(sockets=[self._listener]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(DEADLINE_S)
        self._listener.close()
        self._sockets.clear()

    def _app(self) -> Starlette:
        base = "/api/v2/nodes"
        pod = base + "/pods/{pod}/{epoch:int}"
        return Starlette(
            routes=[
                Route(f"{base}/enroll", self._enrol, methods=["POST"]),
                Route(f"{pod}/chunks/missing", self._missing, methods=["POST"]),
                Route(f"{pod}/chunks/{{name}}", self._put, methods=["PUT"]),
                Route(f"{pod}/chunks/{{name}}", self._get, methods=["GET"]),
                Route(f"{pod}/checkpoints", self._commit, methods=["POST"]),
                Route(f"{pod}/checkpoints/latest", self._latest, methods=["GET"]),
                WebSocketRoute("/ws/nodes/", self._node),
            ]
        )

    async def _enrol(self, request: Request) -> Response:
        body = await request.json()
        if body["token"] not in self.tokens:
            return refusal(403, "bad_token")
        self.tokens.remove(body["token"])
        node, key = f"node-{len(self.keys) + 1}", f"key-of-{body['name']}"
        self.keys[node] = key
        self.enrolments.append(body)
        return JSONResponse({"node_id": node, "node_key": key, "public_url": self.url}, 201)

    def _known(self, request: Request) -> bool:
        node, _, key = request.headers["authorization"].removeprefix("Node ").partition(":")
        return self.keys.get(node) == key

    async def _missing(self, request: Request) -> Response:
        assert self._known(request)
        body = await request.json()
        return JSONResponse({"missing": [name for name in body["chunks"] if name not in self.chunks]})

    async def _put(self, request: Request) -> Response:
        data = zstandard.ZstdDecompressor().decompress(await request.body())
        if blake3(data).hexdigest() != request.path_params["name"]:
            return refusal(422, "bad_chunk")
        self.chunks[request.path_params["name"]] = data
        return Response(status_code=204)

    async def _get(self, request: Request) -> Response:
        return Response(zstandard.ZstdCompressor().compress(self.chunks[request.path_params["name"]]))

    async def _commit(self, request: Request) -> Response:
        pod, epoch, manifest = request.path_params["pod"], request.path_params["epoch"], await request.json()
        taken = self.checkpoints.setdefault(pod, [])
        if epoch < self.epochs.get(pod, 0):
            self.refused_commits[pod] = self.refused_commits.get(pod, 0) + 1
            return refusal(409, "stale_epoch")
        if taken and manifest["sequence"] <= taken[-1]["sequence"]:
            return refusal(409, "stale_sequence")
        if any(name not in self.chunks for file in manifest["files"] for name in file["chunks"]):
            return refusal(422, "missing_chunks")
        assert blake3(canonical_files(manifest["files"])).hexdigest() == manifest["root"]
        with self._changed:
            taken.append(manifest)
            self._changed.notify_all()
        return JSONResponse({"sequence": manifest["sequence"]}, 201)

    async def _latest(self, request: Request) -> Response:
        taken = self.checkpoints.get(request.path_params["pod"])
        return JSONResponse(taken[-1]) if taken else refusal(404, "not_found")

    async def _node(self, ws: WebSocket) -> None:
        await ws.accept()
        hello = json.loads(await ws.receive_text())
        if self.keys.get(hello["node"]) != hello["key"]:
            await ws.send_json({"type": "refused", "code": "bad_key", "message": "no"})
            await ws.close()
            return
        await ws.send_json({"type": "welcome", "beat_s": 0.2, "lease_s": 3.0})
        self._sockets[hello["node"]] = ws
        self._hear(hello["node"], hello)
        with contextlib.suppress(WebSocketDisconnect):
            while self._sockets.get(hello["node"]) is ws:
                message = json.loads(await ws.receive_text())
                self._hear(hello["node"], message)
                answer = self._answer(message)
                if answer is not None:
                    await ws.send_json(answer)

    def _answer(self, message: Message) -> Message | None:
        match message["type"]:
            case "beat":
                return {"type": "beat_ack", "seq": message["seq"]}
            case "state" if self.ack_states:
                return {"type": "ack", "id": message["id"]}
            case "log":
                place = {"pod": message["pod"], "epoch": message["epoch"]}
                return {"type": "log_ack", **place, "n": message["lines"][-1]["n"]}
        return None

    def _hear(self, node: str, message: Message) -> None:
        with self._changed:
            self.heard.append({**message, "from": node, "heard_at": time.monotonic()})
            self._changed.notify_all()

    # What tests ask

    def wait(self, found: Callable[[], Any], what: str) -> Any:
        """Until `found` gives something; it is asked again whenever something was heard."""
        deadline = time.monotonic() + DEADLINE_S
        with self._changed:
            while True:
                value = found()
                if value:
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    recent = [m for m in self.heard if m["type"] not in ("beat", "hello")][-15:]
                    raise AssertionError(f"no {what} in {DEADLINE_S:g} s; heard last: {recent}")
                self._changed.wait(min(left, 0.5))

    def of(self, kind: str, **values: Any) -> list[Message]:
        return [m for m in self.heard if m["type"] == kind and all(m.get(key) == values[key] for key in values)]

    def wait_for(self, kind: str, *, after: float = 0.0, **values: Any) -> Message:
        def found() -> Message | None:
            return next((m for m in self.of(kind, **values) if m["heard_at"] > after), None)

        message: Message = self.wait(found, f"{kind} {values}")
        return message

    def lines(self, pod: str, epoch: int = 1) -> list[Message]:
        """Log lines by number, each once: those sent again are the same."""
        found: dict[int, Message] = {}
        for message in self.of("log", pod=pod, epoch=epoch):
            for line in message["lines"]:
                assert found.setdefault(line["n"], line) == line
        return [found[n] for n in sorted(found)]

    def texts(self, pod: str, epoch: int = 1, stream: str | None = None) -> list[str]:
        return [line["text"] for line in self.lines(pod, epoch) if stream in (None, line["stream"])]

    def wait_line(self, pod: str, start: str, *, epoch: int = 1, count: int = 1) -> str:
        """The `count`-th line that begins so."""

        def found() -> str | None:
            texts = [text for text in self.texts(pod, epoch) if text.startswith(start)]
            return texts[count - 1] if len(texts) >= count else None

        line: str = self.wait(found, f"line {start!r} of {pod}")
        return line

    def forget(self, pod: str) -> None:
        """Have whatever holds the pod end it."""
        for node in list(self._sockets):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has gone
                self.send(node, {"type": "stop", "id": f"forget-{pod}", "pod": pod, "epoch": 99, "mode": "stale"})

    def wait_checkpoint(self, pod: str, *, beyond: int = 0) -> Message:
        def found() -> Message | None:
            return next((m for m in self.checkpoints.get(pod, []) if m["sequence"] > beyond), None)

        manifest: Message = self.wait(found, f"checkpoint of {pod} beyond {beyond}")
        return manifest

    def content(self, manifest: Message, path: str) -> Any:
        file = next(file for file in manifest["files"] if file["path"] == path)
        return json.loads(b"".join(self.chunks[name] for name in file["chunks"]))

    def send(self, node: str, message: Message) -> None:
        asyncio.run_coroutine_threadsafe(self._sockets[node].send_json(message), self._loop).result(DEADLINE_S)

    def command(self, node: str, kind: str, pod: str, epoch: int = 1, **values: Any) -> Message:
        """Send a command and wait for its answer. An agent may be on its way back from where a test has left it."""
        self.wait(lambda: node in self._sockets, f"connection of {node}")
        self._commands += 1
        message = {"type": kind, "id": f"command-{self._commands}", "pod": pod, "epoch": epoch, **values}
        self.send(node, message)
        return self.wait_for("done", id=message["id"])

    def start_pod(self, node: str, pod: str, command: list[str], epoch: int = 1, **values: Any) -> Message:
        self.epochs[pod] = epoch
        return self.command(node, "start", pod, epoch, spec=spec(command, **values))


def spec(command: list[str], **values: Any) -> Message:
    usual: Message = {
        "name": "test",
        "image": "",
        "command": command,
        "env": {},
        "ports": [],
        "limits": {},
        "restart_policy": "on-failure",
        "grace_s": 5,
        "resume": True,
        "runtime": "process",
    }
    return usual | values


@contextlib.contextmanager
def running() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    plane.start()
    try:
        yield plane
    finally:
        plane.stop()
