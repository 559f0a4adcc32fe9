"""Outgoing HTTP: a time limit always, an answer of bounded size, secrets never in an error, no call in a transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from django.db import connections
from prometheus_client import Histogram
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

SECONDS = Histogram("outgoing_http_seconds", "Time of outgoing calls", ["service", "outcome"])
MAX_BYTES = 8 * 1024 * 1024
SAFE_METHODS = {"GET", "HEAD"}


class HttpFailed(Exception):
    """No usable answer. `reason` ∈ timeout | connection | too_large | not_json. Holds no header and no query."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class CalledInTransaction(RuntimeError):
    """Network inside a transaction holds locks for as long as a stranger likes."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self, service: str) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise HttpFailed(service, "not_json") from None


def guard_no_transaction() -> None:
    """Refuse inside `atomic`. A test case's own outer block is known by Django's `_from_testcase` mark."""
    for connection in connections.all(initialized_only=True):
        blocks = connection.atomic_blocks if connection.in_atomic_block else []
        if any(not getattr(block, "_from_testcase", False) for block in blocks):
            raise CalledInTransaction("An outgoing call was made inside a transaction.")


def _new_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = True
    adapter = HTTPAdapter(pool_connections=16, pool_maxsize=16, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


_session = _new_session()


def call(
    service: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    json_body: Any = None,
    form: Mapping[str, str] | None = None,
    raw: bytes | None = None,
    timeout_s: float = 10.0,
    max_bytes: int = MAX_BYTES,
    retries: int = 1,
) -> Answer:
    """One call. Safe methods are tried again `retries` times after a broken connection; others never.

    `timeout_s` bounds the whole call, not each read. Raises HttpFailed; a 4xx or 5xx is an Answer.
    """
    guard_no_transaction()
    attempts = 1 + (retries if method in SAFE_METHODS else 0)
    for attempt in range(attempts):
        started = time.monotonic()
        try:
            answer = _call_once(service, method, url, headers, params, json_body, form, raw, timeout_s, max_bytes)
        except HttpFailed as failure:
            SECONDS.labels(service, failure.reason).observe(time.monotonic() - started)
            if failure.reason != "connection" or attempt == attempts - 1:
                raise
        else:
            SECONDS.labels(service, str(answer.status)).observe(time.monotonic() - started)
            return answer
    raise AssertionError("unreachable")


def read_stream(
    service: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    quiet_s: float = 2.0,
    timeout_s: float = 10.0,
    max_bytes: int = MAX_BYTES,
) -> Answer:
    """What a server-sent stream holds by now: until it ends, is silent for `quiet_s`, or reaches a bound.

    Reaching a bound is no failure: the caller resumes from the last event that it got.
    """
    guard_no_transaction()
    deadline, parts, size = time.monotonic() + timeout_s, [], 0
    try:
        with _session.get(
            url, headers=dict(headers or {}), params=params, timeout=quiet_s, stream=True, allow_redirects=False
        ) as response:
            try:
                while size < max_bytes and time.monotonic() < deadline:
                    part = response.raw.read1(64 * 1024, decode_content=True)
                    if not part:
                        break
                    parts.append(part)
                    size += len(part)
            except (TimeoutError, HTTPError):
                response.raw.close()  # a silent or broken stream is not put back into the pool
            return Answer(response.status_code, response.headers, b"".join(parts)[:max_bytes])
    except requests.Timeout:
        raise HttpFailed(service, "timeout") from None
    except requests.RequestException:
        raise HttpFailed(service, "connection") from None


def _call_once(
    service: str,
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    params: Mapping[str, Any] | None,
    json_body: Any,
    form: Mapping[str, str] | None,
    raw: bytes | None,
    timeout_s: float,
    max_bytes: int,
) -> Answer:
    deadline = time.monotonic() + timeout_s
    try:
        with _session.request(
            method,
            url,
            headers=dict(headers or {}),
            params=params,
            json=json_body,
            data=raw if raw is not None else form,
            timeout=(min(5.0, timeout_s), timeout_s),
            stream=True,
            allow_redirects=False,
        ) as response:
            body = _read_bounded(service, response, deadline, max_bytes)
            return Answer(response.status_code, response.headers, body)
    except (requests.Timeout, ReadTimeoutError):
        raise HttpFailed(service, "timeout") from None
    except (requests.RequestException, HTTPError):
        raise HttpFailed(service, "connection") from None


def _read_bounded(service: str, response: requests.Response, deadline: float, max_bytes: int) -> bytes:
    """What comes is looked at as it comes: a read of a fixed size would wait for as long as single bytes arrive."""
    parts, size = [], 0
    while part := response.raw.read1(64 * 1024, decode_content=True):
        size += len(part)
        if size > max_bytes:
            raise HttpFailed(service, "too_large")
        if time.monotonic() > deadline:
            raise HttpFailed(service, "timeout")
        parts.append(part)
    return b"".join(parts)
