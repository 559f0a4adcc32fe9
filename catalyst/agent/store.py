"""The control plane over HTTP: enrolment, chunks, checkpoints. Every call has a time limit; no answer is trusted blindly."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

import requests

from catalyst.agent.config import Node
from catalyst.agent.protocol import HTTP_PREFIX, EnrolAnswer, EnrolRequest, Manifest, authorization

TIMEOUT_S = (5.0, 30.0)  # to connect, between two bytes
HASHES_PER_CALL = 5000


class Unreachable(Exception):
    """No answer, or one that says to come back: try again later."""


class Refused(Exception):
    """A definite no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


class StaleEpoch(Refused):
    """A newer epoch of the pod exists: this machine has lost it."""


class Store:
    def __init__(self, server: str, node: Node | None) -> None:
        self.base = server + HTTP_PREFIX
        self.session = requests.Session()
        # A proxy of the environment is for the world; it cannot reach this machine's own loopback.
        self.session.trust_env = not is_loopback(server)
        if node is not None:
            self.session.headers["Authorization"] = authorization(node.node_id, node.node_key)

    def enrol(self, request: EnrolRequest) -> EnrolAnswer:
        answer = self._call("POST", "enroll", json=request).json()
        return {key: str(answer[key]) for key in ("node_id", "node_key", "public_url")}  # type: ignore[return-value]

    def latest(self, pod: str, epoch: int) -> Manifest | None:
        """The newest committed checkpoint of the pod, of any epoch; None when it has none."""
        try:
            return cast(Manifest, self._call("GET", f"pods/{pod}/{epoch}/checkpoints/latest").json())
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def missing(self, pod: str, epoch: int, hashes: list[str]) -> list[str]:
        found: list[str] = []
        for at in range(0, len(hashes), HASHES_PER_CALL):
            part = {"chunks": hashes[at : at + HASHES_PER_CALL]}
            found += self._call("POST", f"pods/{pod}/{epoch}/chunks/missing", json=part).json()["missing"]
        return found

    def put_chunk(self, pod: str, epoch: int, name: str, data: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        self._call("PUT", f"pods/{pod}/{epoch}/chunks/{name}", data=data, headers=headers)

    def get_chunk(self, pod: str, epoch: int, name: str) -> bytes:
        return self._call("GET", f"pods/{pod}/{epoch}/chunks/{name}").content

    def commit(self, pod: str, epoch: int, manifest: Manifest) -> None:
        self._call("POST", f"pods/{pod}/{epoch}/checkpoints", json=manifest)

    def _call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        try:
            answer = self.session.request(
                method, self.base + path, timeout=TIMEOUT_S, allow_redirects=False, **arguments
            )
        except requests.RequestException as error:
            raise Unreachable(type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unreachable(f"status {answer.status_code}")
        if answer.status_code >= 300:
            raise _refusal(answer)
        return answer


def is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _refusal(answer: requests.Response) -> Refused:
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "unknown", "no reason given"
    kind = StaleEpoch if code == "stale_epoch" else Refused
    return kind(answer.status_code, code, message)
