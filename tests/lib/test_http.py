"""Calls to strangers: bounded in time and size, no redirect, no secret in an error, none inside a transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.db import transaction

from lib.http import CalledInTransaction, HttpFailed, call, read_stream
from lib.local.ports import free_port
from tests.lib.stranger import Stranger, stranger_at_work

LIMIT_S = 0.3
# How late an answer may be on a machine that has other things to do.
SLACK_S = 2.0
SECRET = "key-that-must-stay-secret"


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    with stranger_at_work() as stranger:
        yield stranger


def reason_of(stranger: Stranger, path: str, method: str = "GET", **options: object) -> str:
    with pytest.raises(HttpFailed) as failed:
        call("stranger", method, stranger.url + path, **options)  # type: ignore[arg-type]
    return failed.value.reason


def test_an_answer_with_its_status_headers_and_body(stranger: Stranger) -> None:
    headers = {"Authorization": SECRET}
    answer = call("stranger", "GET", f"{stranger.url}/json", headers=headers, params={"page": 2})
    assert (answer.status, answer.ok) == (200, True)
    assert answer.json("stranger") == {"path": "/json?page=2", "key": SECRET}


@pytest.mark.parametrize(
    ("options", "sent"),
    [({"json_body": {"a": 1}}, b'{"a": 1}'), ({"form": {"a": "1 2"}}, b"a=1+2"), ({"raw": b"\x00a"}, b"\x00a")],
)
def test_what_is_sent(stranger: Stranger, options: dict[str, object], sent: bytes) -> None:
    call("stranger", "POST", f"{stranger.url}/json", **options)  # type: ignore[arg-type]
    assert stranger.bodies[-1] == sent


def test_an_error_of_theirs_is_an_answer(stranger: Stranger) -> None:
    answer = call("stranger", "GET", f"{stranger.url}/html")
    assert (answer.status, answer.ok) == (502, False)
    with pytest.raises(HttpFailed) as failed:
        answer.json("stranger")
    assert failed.value.reason == "not_json"


def test_a_redirect_is_not_followed(stranger: Stranger) -> None:
    before = stranger.calls["/json"]
    assert call("stranger", "GET", f"{stranger.url}/redirect").status == 302
    assert stranger.calls["/json"] == before


@pytest.mark.parametrize("path", ["/silent", "/drip", "/trickle"])
def test_the_time_limit_holds_for_the_whole_call(stranger: Stranger, path: str) -> None:
    began, before = time.monotonic(), stranger.calls[path]
    assert reason_of(stranger, path, timeout_s=LIMIT_S) == "timeout"
    assert time.monotonic() - began < LIMIT_S + SLACK_S
    assert stranger.calls[path] == before + 1, "what takes too long is not asked again"


def test_too_large_an_answer_is_not_read_to_its_end(stranger: Stranger) -> None:
    assert reason_of(stranger, "/big", max_bytes=200_000) == "too_large"


def test_a_packed_answer_is_unpacked_and_its_full_size_counts(stranger: Stranger) -> None:
    assert call("stranger", "GET", f"{stranger.url}/packed").body == bytes(1_000_000)
    assert reason_of(stranger, "/packed", max_bytes=200_000) == "too_large"


@pytest.mark.parametrize("path", ["/short", "/mispacked"])
def test_a_broken_answer_is_none(stranger: Stranger, path: str) -> None:
    assert reason_of(stranger, path) == "connection"


def test_a_broken_connection_is_tried_again_when_that_is_safe(stranger: Stranger) -> None:
    assert call("stranger", "GET", f"{stranger.url}/flaky").ok
    assert reason_of(stranger, "/hangup") == "connection"
    assert stranger.calls["/hangup"] == 2


def test_what_changes_something_is_never_sent_twice(stranger: Stranger) -> None:
    before = stranger.calls["/hangup"]
    assert reason_of(stranger, "/hangup", "POST", json_body={}, retries=3) == "connection"
    assert stranger.calls["/hangup"] == before + 1


def test_nobody_is_there() -> None:
    with pytest.raises(HttpFailed) as failed:
        call("stranger", "GET", f"http://127.0.0.1:{free_port()}/?token={SECRET}", headers={"Authorization": SECRET})
    assert failed.value.reason == "connection"
    assert SECRET not in repr(failed.value)
    assert failed.value.__suppress_context__, "the cause, which names the address, is not shown with it"


@pytest.mark.parametrize("url", ["", "http://", "not an address", "http://[::1", "ftp://127.0.0.1/", "http://a b/"])
def test_an_address_that_is_none_fails_as_a_connection_does(url: str) -> None:
    with pytest.raises(HttpFailed) as failed:
        call("stranger", "GET", url, timeout_s=LIMIT_S)
    assert failed.value.reason in {"connection", "timeout"}


def test_a_stream_is_read_until_it_is_silent(stranger: Stranger) -> None:
    answer = read_stream("stranger", f"{stranger.url}/events", quiet_s=LIMIT_S)
    assert answer.body == b"data: one\n\ndata: two\n\n"


def test_a_stream_is_read_up_to_its_bounds(stranger: Stranger) -> None:
    assert len(read_stream("stranger", f"{stranger.url}/big", max_bytes=100_000).body) == 100_000
    began = time.monotonic()
    assert read_stream("stranger", f"{stranger.url}/drip", timeout_s=LIMIT_S).body
    assert time.monotonic() - began < LIMIT_S + SLACK_S


@pytest.mark.django_db(transaction=True)
def test_no_call_inside_a_transaction(stranger: Stranger) -> None:
    before = stranger.calls["/json"]
    with transaction.atomic():
        with pytest.raises(CalledInTransaction):
            call("stranger", "GET", f"{stranger.url}/json")
        with pytest.raises(CalledInTransaction):
            read_stream("stranger", f"{stranger.url}/json")
    assert stranger.calls["/json"] == before
    assert call("stranger", "GET", f"{stranger.url}/json").ok


@pytest.mark.django_db
def test_the_transaction_around_a_test_is_none_of_the_code(stranger: Stranger) -> None:
    assert call("stranger", "GET", f"{stranger.url}/json").ok
    with transaction.atomic(), pytest.raises(CalledInTransaction):
        call("stranger", "GET", f"{stranger.url}/json")
