"""A person who signs up and works through the API of a running installation."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import requests

Found = TypeVar("Found")
LIMIT_S = 60.0
KEY = re.compile(r"/account/confirm-email/([^/\"\s<]+)/")
STEP = re.compile(r"\bstep (\d+)")


def wait(what: str, check: Callable[[], Found]) -> Found:
    """Poll a running installation: it tells nobody outside when it has got there."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {LIMIT_S:.0f} s")


class Customer:
    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        email, password = f"bo-{uuid.uuid4().hex[:8]}@example.com", uuid.uuid4().hex
        self._must(self.post("auth/signup", {"email": email, "password": password}))
        self._must(self.post("auth/verify-email", {"key": self._read_key()}))
        tokens = self._must(self.post("auth/login", {"email": email, "password": password}))
        self.session.headers["Authorization"] = f"Bearer {tokens['access']}"

    def _read_key(self) -> str:
        page = self.session.get(f"{self.url}/mailbox/", timeout=15).text
        found = KEY.search(page)
        assert found, page
        return found.group(1)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> requests.Response:
        return self.session.post(f"{self.url}/api/v2/{path}", json=body, headers=headers, timeout=15)

    def get(self, path: str) -> Any:
        return self._must(self.session.get(f"{self.url}/api/v2/{path}", timeout=15))

    def _must(self, answer: requests.Response) -> Any:
        assert answer.ok, f"{answer.status_code} {answer.text[:2000]}"
        return answer.json()

    def deploy_counter(self) -> str:
        """The demo job on a node of this installation, paid from the sign-up credits. Answers the pod's id."""
        config = self._must(
            self.post(
                "config/pods/",
                {"name": "count", "template": "count", "gpu_query": "cpu", "payer": "credits", "disk_gb": 1},
            )
        )
        pod = self.post("deployment/deploy", {"config": config["id"]}, **{"Idempotency-Key": uuid.uuid4().hex})
        return str(self._must(pod)["id"])

    def status(self, pod: str) -> str:
        return str(self.get(f"deployment/pods/{pod}")["status"])

    def act(self, pod: str, action: str) -> Any:
        return self._must(self.post(f"deployment/pods/{pod}/action", {"action": action}))

    def node_of(self, pod: str) -> str:
        names = [row["name"] for row in self.get("nodes/")["items"] if pod in row["pods"]]
        return str(names[0]) if names else ""

    def steps(self, pod: str, epoch: int) -> list[int]:
        """Steps in the newest lines of the log that this epoch wrote."""
        lines = self.get(f"pods/{pod}/logs?limit=200")["items"]
        found = [STEP.search(line["text"]) for line in lines if line["epoch"] == epoch]
        return sorted(int(match.group(1)) for match in found if match)
