"""Amazon's Cost Explorer as far as we ask it: one operation of its JSON 1.1 protocol, on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TARGET = "AWSInsightsIndexService.GetCostAndUsage"


class CostExplorer(ThreadingHTTPServer):
    """`results`: what each page of the answer holds. `failure`: the code of an error that it answers instead."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.results: list[list[Any]] = [[]]
        self.failure = ""
        self.asked: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: CostExplorer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Amz-Target"] != TARGET or not self._is_signed():
            return self._answer(400, {"__type": "UnrecognizedClientException", "message": "The key is not valid."})
        self.server.asked.append(body)
        if self.server.failure:
            return self._answer(400, {"__type": self.server.failure, "message": "secret detail"})
        number = int(body.get("NextPageToken", "0"))
        more = {"NextPageToken": str(number + 1)} if number + 1 < len(self.server.results) else {}
        return self._answer(200, {"ResultsByTime": self.server.results[number], **more})

    def _is_signed(self) -> bool:
        return self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_given: Any) -> None:
        """The tests say what happened."""


def month(start: str, end: str, **services: str) -> dict[str, Any]:
    """One result as AWS words it."""
    groups = [
        {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}
        for name, amount in services.items()
    ]
    return {"TimePeriod": {"Start": start, "End": end}, "Total": {}, "Groups": groups, "Estimated": False}


@contextmanager
def cost_explorer() -> Iterator[CostExplorer]:
    server = CostExplorer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
