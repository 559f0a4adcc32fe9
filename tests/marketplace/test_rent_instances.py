"""At every provider: gone only when the provider says so, within the time limit, outside transactions."""

from __future__ import annotations

from typing import Any

import pytest

from lib import http
from marketplace.providers import wire
from marketplace.providers.base import BadAnswer, Unreachable
from marketplace.providers.lambda_labs.adapter import Adapter as Lambda
from marketplace.providers.runpod.adapter import Adapter as RunPod
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.scripted import Scripted

GONE: list[tuple[type[Vast | RunPod | Lambda], str, Any]] = [
    (Vast, "/api/v0/instances/", {"success": False, "error": "no_such_instance", "msg": "Instance not found"}),
    (RunPod, "/v2/pods/", {"title": "Not Found", "status": 404, "detail": "pod not found"}),
    (Lambda, "/api/v1/instances/", {"error": {"code": "global/object-does-not-exist", "message": "no"}}),
]


@pytest.mark.parametrize(("adapter", "path", "words"), GONE)
def test_gone_is_what_the_provider_calls_gone(provider: Scripted, adapter: type[Vast], path: str, words: Any) -> None:
    provider.say("GET", path, words, status=404)
    provider.say("DELETE", path, words, status=404)
    provider.say("POST", "/api/v1/instance-operations/terminate", words, status=404)
    assert adapter(provider.account()).get("501").state == "gone"
    adapter(provider.account()).terminate("501")


@pytest.mark.parametrize(("adapter", "path", "words"), GONE)
@pytest.mark.parametrize("page", [b"<html>404</html>", b"", b"404 page not found", b"{}"])
def test_a_404_of_something_in_between_is_not_gone(
    provider: Scripted, adapter: type[Vast], path: str, words: Any, page: bytes
) -> None:
    provider.say("GET", path, page, status=404)
    provider.say("DELETE", path, page, status=404)
    provider.say("POST", "/api/v1/instance-operations/terminate", page, status=404)
    with pytest.raises(BadAnswer):
        adapter(provider.account()).get("501")
    with pytest.raises(BadAnswer):
        adapter(provider.account()).terminate("501")


@pytest.mark.parametrize("adapter", [Vast, RunPod, Lambda])
def test_a_reference_cannot_leave_its_place_in_the_path(provider: Scripted, adapter: type[Vast]) -> None:
    with pytest.raises(Unreachable):
        adapter(provider.account()).get("../../v0/users?x=1#y")
    assert ".." not in provider.asked[0].path.split("/")
    assert provider.asked[0].query == ""


def test_a_hanging_provider_is_unreachable_within_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, provider: Scripted
) -> None:
    monkeypatch.setattr(wire, "CALL_S", 0.2)
    provider.say("GET", "/v2/pods", b"{", Content_Length="50")
    with pytest.raises(Unreachable):
        RunPod(provider.account()).list_instances()


def test_no_call_leaves_inside_a_transaction(monkeypatch: pytest.MonkeyPatch, provider: Scripted) -> None:
    def refuse() -> None:
        raise http.CalledInTransaction

    monkeypatch.setattr(http, "guard_no_transaction", refuse)
    adapter = RunPod(provider.account())
    for call in (adapter.list_instances, lambda: adapter.logs("p")):
        with pytest.raises(http.CalledInTransaction):
            call()
    assert provider.asked == []
