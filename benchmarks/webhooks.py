"""Notifications per second through the inbox: checked, stored, handed to a worker; beside the same server's bare answer."""

from __future__ import annotations

import http.client
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from stripe import WebhookSignature

from benchmarks.report import Row, median_and_spread
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from tests.servers import wait_until

CONNECTIONS = 8
REQUESTS = 400  # in a round; all rounds together stay below what one address may send in a minute
ROUNDS = 5
ROUTE = "/api/v2/billing/webhook"
Ask = tuple[str, str, bytes | None, dict[str, str]]


def run() -> list[Row]:
    secret, port = "whsec_" + secrets.token_hex(12), free_port()
    keys = {
        "STRIPE_SECRET_KEY": "sk_test_" + secrets.token_hex(12),
        "STRIPE_PUBLISHABLE_KEY": "pk_test_" + secrets.token_hex(12),
        "STRIPE_WEBHOOK_SECRET": secret,
    }
    argv = (sys.executable, "-m", "daphne", "-b", LOOPBACK, "-p", str(port), "-v", "0", "config.asgi:application")
    server = Program("daphne", argv, env=keys)
    log = Path(tempfile.mkdtemp(prefix="webhooks-")) / "daphne.log"
    child = spawn(server, log)
    try:
        wait_until(lambda: _answers(port), child, log)
        return [_measure(port, secret)]
    finally:
        stop_all([(child, server.stop_signal)], limit_s=10.0)


def _measure(port: int, secret: str) -> Row:
    _per_second(port, lambda: _notification(secret))  # loads what the first one needs
    ours, bare, ratios = [], [], []
    for _ in range(ROUNDS):
        bare.append(_per_second(port, lambda: ("GET", "/health", None, {})))
        ours.append(_per_second(port, lambda: _notification(secret)))
        ratios.append(ours[-1] / bare[-1])
    value, spread = median_and_spread(ours)
    reference, ratio = statistics.median(bare), statistics.median(ratios)
    name = f"notifications into the inbox, {CONNECTIONS} connections"
    return Row(name, value, "/s", "GET /health, same server", reference, ratio, "", spread)


def _notification(secret: str) -> Ask:
    """A new one, signed as Stripe signs."""
    body = {"id": f"evt_{uuid4().hex}", "object": "event", "type": "charge.succeeded", "data": {"object": {}}}
    raw = json.dumps(body)
    header = WebhookSignature.generate_signature_header(raw, secret)
    return "POST", ROUTE, raw.encode(), {"Content-Type": "application/json", "Stripe-Signature": header}


def _per_second(port: int, ask: Callable[[], Ask]) -> float:
    asked = [[ask() for _ in range(REQUESTS // CONNECTIONS)] for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        began = time.perf_counter()
        list(threads.map(lambda mine: _send(port, mine), asked))
        return REQUESTS / (time.perf_counter() - began)


def _send(port: int, asked: list[Ask]) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        for method, path, body, headers in asked:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{path} answered {answer.status}")
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        _send(port, [("GET", "/health", None, {})])
    except (OSError, RuntimeError, http.client.HTTPException):
        return False
    return True
