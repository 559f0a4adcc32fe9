"""Real peers, each a process of its own on a free port of this machine, spoken to over HTTP."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse

ROOT = Path(__file__).resolve().parents[2]
KEY = "test-key"
DEADLINE_S = 10.0
POLL_S = 0.05
FACTS = """provider,model,vram_gb,kind,usd_per_gpu_hour,observed_on,source
vast,rtx-4090,24,on_demand,0.31,2026-05-24,https://example.com
vast,rtx-3090,24,on_demand,0.15,2026-05-24,https://example.com
vast,h100-sxm-80,80,on_demand,1.49,2026-05-24,https://example.com
runpod,rtx-4090,24,on_demand,0.34,2026-08-22,https://example.com
runpod,h100-sxm-80,80,on_demand,2.69,2026-08-22,https://example.com
runpod,a100-sxm-80,80,on_demand,1.39,2026-08-22,https://example.com
lambda_labs,h100-sxm-80,80,on_demand,3.99,2026-08-22,https://example.com
lambda_labs,a10,24,on_demand,1.29,2026-08-22,https://example.com
lambda_labs,gh200-96,96,on_demand,2.29,2026-08-22,https://example.com
akash,h100-sxm-80,80,on_demand,1.25,2026-05-24,https://example.com
akash,rtx-4090,24,on_demand,0.17,2026-05-24,https://example.com
akash,t4,16,on_demand,0.12,2026-05-24,https://example.com
aws,l4,24,on_demand,0.80,2026-08-22,https://example.com
"""


@dataclass
class RunningPeer:
    name: str
    url: str
    process: subprocess.Popen[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {KEY}"})

    def call(self, method: str, path: str, **given: Any) -> requests.Response:
        """With the right key, unless `headers` says otherwise."""
        given = {"headers": self.headers, "allow_redirects": False, **given}
        return requests.request(method, self.url + path, timeout=DEADLINE_S, **given)

    def get(self, path: str, **given: Any) -> requests.Response:
        return self.call("GET", path, **given)

    def post(self, path: str, **given: Any) -> requests.Response:
        return self.call("POST", path, **given)

    def put(self, path: str, **given: Any) -> requests.Response:
        return self.call("PUT", path, **given)

    def delete(self, path: str, **given: Any) -> requests.Response:
        return self.call("DELETE", path, **given)

    def fault(self, mode: str, **knob: Any) -> None:
        assert self.post("/sandbox/faults", json={"mode": mode, **knob}).status_code == 200

    def tick(self, ticks: int = 1) -> None:
        assert self.post("/sandbox/tick", json={"ticks": ticks}).status_code == 200

    def wait(self, look: Callable[[], Any]) -> Any:
        """The first true answer of `look`, which asks the peer; not so often that its rate limits speak up."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(POLL_S)
        raise AssertionError(f"{self.name} did not get there within {DEADLINE_S} s")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_peer(name: str, state: Path, facts: Path, *extra: str, port: int | None = None) -> RunningPeer:
    port = port or free_port()
    arguments = ["--port", str(port), "--state", str(state), "--facts", str(facts), "--tick-s", "0", *extra]
    environment = {
        **os.environ,
        "PEER_KEY": KEY,
        "PAYPAL_CLIENT_ID": "client",
        "PAYPAL_CLIENT_SECRET": "secret",
        "PAYPAL_WEBHOOK_ID": "WEBHOOK1",
        "STRIPE_SECRET_KEY": "sk_test_merchant",
        "STRIPE_PUBLISHABLE_KEY": "pk_test_merchant",
        "STRIPE_WEBHOOK_SECRET": "whsec_merchant",
    }
    process = subprocess.Popen([sys.executable, "-m", "sandbox", name, *arguments], cwd=ROOT, env=environment)
    peer = RunningPeer(name, f"http://127.0.0.1:{port}", process)

    def healthy() -> bool:
        assert process.poll() is None, f"{name} ended with {process.returncode}"
        with suppress(requests.ConnectionError):
            return peer.get("/sandbox/health").ok
        return False

    peer.wait(healthy)
    return peer


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("facts") / "list_prices.csv"
    file.write_text(FACTS)
    return file


@pytest.fixture(scope="session")
def shared_peer(tmp_path_factory: pytest.TempPathFactory, facts: Path) -> Iterator[Callable[[str], RunningPeer]]:
    """One process for each peer and test run."""
    running: dict[str, RunningPeer] = {}

    def give(name: str) -> RunningPeer:
        if name not in running:
            state = tmp_path_factory.mktemp(name) / "state.sqlite3"
            running[name] = start_peer(name, state, facts, "--boot-s", "0.2")
        assert running[name].post("/sandbox/reset").status_code == 200
        return running[name]

    yield give
    for peer in running.values():
        peer.stop()


@pytest.fixture
def vast(shared_peer: Callable[[str], RunningPeer]) -> RunningPeer:
    return shared_peer("vast")


@pytest.fixture
def runpod(shared_peer: Callable[[str], RunningPeer]) -> RunningPeer:
    return shared_peer("runpod")


@pytest.fixture
def lambda_labs(shared_peer: Callable[[str], RunningPeer]) -> RunningPeer:
    return shared_peer("lambda_labs")


@pytest.fixture
def akash(shared_peer: Callable[[str], RunningPeer]) -> RunningPeer:
    return shared_peer("akash")


@pytest.fixture
def own_peer(tmp_path: Path, facts: Path) -> Iterator[Callable[..., RunningPeer]]:
    """Peers of one test alone, with options of their own; the state file may be used again after `stop`."""
    started: list[RunningPeer] = []

    def start(name: str, *extra: str, port: int | None = None) -> RunningPeer:
        started.append(start_peer(name, tmp_path / f"{name}.sqlite3", facts, *extra, port=port))
        return started[-1]

    yield start
    for peer in started:
        if peer.process.poll() is None:
            peer.stop()


@dataclass
class Notification:
    headers: dict[str, str]
    raw: bytes

    @property
    def event(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body


class Receiver:
    """A shop's webhook address: keeps what comes, answers the next of `statuses`, then 200."""

    def __init__(self) -> None:
        self.received: queue.Queue[Notification] = queue.Queue()
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.put(Notification({k.lower(): v for k, v in self.headers.items()}, raw))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> Notification:
        return self.received.get(timeout=DEADLINE_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


Check = Callable[[requests.Response], requests.Response]


@pytest.fixture(scope="session")
def contract() -> Callable[[str, RunningPeer], Check]:
    """A check of an answer against a service's public description; skips where the descriptions are absent."""
    folders = [parent / "shared" / "contracts" for parent in ROOT.parents]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    loaded: dict[str, dict[str, Any]] = {}

    def load(file: str, peer: RunningPeer) -> Check:
        if folder is None:
            pytest.skip("the public API descriptions (../shared/contracts) are not here")
        if file not in loaded:
            text = (folder / file).read_text()
            loaded[file] = yaml.load(text, yaml.CSafeLoader) if file.endswith(".yaml") else json.loads(text)
            if file.startswith("vast"):
                # Called a list of numbers here, a map in the list of instances; in life it is a map in both.
                loaded[file]["components"]["schemas"]["Instance"]["properties"].pop("ports")
        description = {**loaded[file], "servers": [{"url": peer.url}]}
        problem: dict[str, Callable[[bytes], Any]] = {"application/problem+json": json.loads}
        settings = Config(spec_validator_cls=None, extra_media_type_deserializers=problem)
        api = OpenAPI.from_dict(description, config=settings)

        def check(answer: requests.Response) -> requests.Response:
            request = RequestsOpenAPIRequest(answer.request)
            api.validate_response(request, RequestsOpenAPIResponse(answer))
            return answer

        return check

    return load
