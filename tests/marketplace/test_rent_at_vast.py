"""Renting at Vast.ai: once for each key, and never on other terms than asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from marketplace.providers.base import BadAnswer, NoFunds, OfferGone, Rejected
from marketplace.providers.vast.adapter import Adapter as Vast
from tests.marketplace.samples import (
    REQUEST,
    VAST_INSTANCE,
    vast,
)
from tests.marketplace.scripted import KEY, Scripted


def test_vast_rents_with_the_key_as_label(provider: Scripted) -> None:
    instance = vast(provider).create(REQUEST)
    (asked,) = provider.calls("PUT")
    assert asked.path == "/api/v0/asks/11684738/"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "image": "pytorch/pytorch:latest",
        "label": REQUEST.key,
        "disk": 20,
        "env": """-e 'TOKEN=it'"'"'s $ecret' -e MODE=fast -p 8000:8000""",
        "target_state": "running",
        "cancel_unavail": True,
        "runtype": "args",
        "args": ["python", "train.py", "--name=a b"],
    }
    assert (instance.ref, instance.key, instance.state) == ("501", REQUEST.key, "running")
    assert instance.price_per_hour == Decimal("0.25")
    assert (instance.ssh_host, instance.ssh_port) == ("ssh4.vast.ai", 20000)
    assert instance.ports == {22: "203.0.113.7:40022", 8000: "203.0.113.7:40080"}
    assert instance.started_at == datetime.fromtimestamp(1787000000.5, UTC)
    assert instance.message == "success, running"


def test_the_same_key_twice_is_one_instance(provider: Scripted) -> None:
    assert vast(provider, VAST_INSTANCE).create(REQUEST).ref == "501"
    assert provider.calls("PUT") == []


def test_a_bid_always_names_its_price(provider: Scripted) -> None:
    spot = replace(REQUEST, kind="spot", max_price_per_hour=Decimal("0.2"))
    assert vast(provider, is_bid=True, dph_base=0.2).create(spot).ref == "501"
    assert provider.calls("PUT")[0].body["price"] == 0.2


def test_a_bid_without_a_price_asks_nothing(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider).create(replace(REQUEST, kind="spot", max_price_per_hour=None))
    assert provider.asked == []


def test_a_bid_that_became_on_demand_is_ended(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider, is_bid=False).create(replace(REQUEST, kind="spot"))
    assert provider.calls("DELETE", "/api/v0/instances/501/")


def test_a_found_instance_on_other_terms_is_ended_too(provider: Scripted) -> None:
    with pytest.raises(Rejected):
        vast(provider, VAST_INSTANCE).create(replace(REQUEST, kind="spot"))
    assert provider.calls("DELETE", "/api/v0/instances/501/")


def test_a_price_that_rose_is_not_taken(provider: Scripted) -> None:
    with pytest.raises(OfferGone, match="rose"):
        vast(provider, dph_base=0.31).create(REQUEST)
    assert provider.calls("DELETE")


def test_a_refusal_that_made_an_instance_all_the_same_is_cleaned_up(provider: Scripted) -> None:
    adapter = vast(provider)
    provider.answers.pop(("PUT", "/api/v0/asks/"))
    body = {"success": False, "error": "invalid_price", "msg": "bid is too low", "new_contract": 501}
    provider.say("PUT", "/api/v0/asks/", body, status=400)
    with pytest.raises(Rejected):
        adapter.create(REQUEST)
    assert provider.calls("DELETE", "/api/v0/instances/501/")


@pytest.mark.parametrize(
    ("status", "error", "raised"),
    [
        (404, "error 404/3603: no_such_ask Instance type by id 1 is not available.", OfferGone),
        (410, "no_such_ask", OfferGone),
        (400, "insufficient_credit", NoFunds),
        (200, "odd", BadAnswer),
    ],
)
def test_why_vast_did_not_rent(provider: Scripted, status: int, error: str, raised: type[Exception]) -> None:
    adapter = vast(provider)
    provider.answers.pop(("PUT", "/api/v0/asks/"))
    provider.say("PUT", "/api/v0/asks/", {"success": False, "error": error}, status=status)
    with pytest.raises(raised):
        adapter.create(REQUEST)


def test_all_pages_of_instances_are_read(provider: Scripted) -> None:
    for page, token in ((range(25), "a"), (range(25, 50), "b"), (range(50, 60), None)):
        rows = [{**VAST_INSTANCE, "id": number, "label": f"k{number}"} for number in page]
        provider.say("GET", "/api/v1/instances/", {"instances": rows, "next_token": token})
    adapter = Vast(provider.account())
    assert len(adapter.list_instances()) == 60
    assert ["after_token=b" in asked.query for asked in provider.asked] == [False, False, True]


def test_a_list_without_end_is_given_up(provider: Scripted) -> None:
    provider.say("GET", "/api/v1/instances/", {"instances": [], "next_token": "again"})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


@pytest.mark.parametrize("spoilt", [{"label": 7, "id": None}, {"id": -5}, {"dph_base": -1}, {"actual_status": 7}])
def test_an_unreadable_instance_is_never_taken_for_a_gone_one(provider: Scripted, spoilt: dict[str, Any]) -> None:
    provider.say(
        "GET", "/api/v1/instances/", {"instances": [VAST_INSTANCE, {**VAST_INSTANCE, **spoilt}], "next_token": None}
    )
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


def test_find_refuses_a_list_without_labels(provider: Scripted) -> None:
    row = {name: value for name, value in VAST_INSTANCE.items() if name != "label"}
    provider.say("GET", "/api/v1/instances/", {"instances": [row], "next_token": None})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).find(REQUEST.key)


@pytest.mark.parametrize("body", [{}, {"instances": []}, {"instances": 7}, []])
def test_an_answer_without_the_instance_is_not_gone(provider: Scripted, body: Any) -> None:
    provider.say("GET", "/api/v0/instances/501/", body)
    with pytest.raises(BadAnswer):
        Vast(provider.account()).get("501")


def test_a_list_that_does_not_say_whether_it_goes_on_is_refused(provider: Scripted) -> None:
    provider.say("GET", "/api/v1/instances/", {"instances": []})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).list_instances()


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (None, "creating"),
        ("loading", "pulling"),
        ("running", "running"),
        ("stopped", "stopped"),
        ("exited", "exited"),
        ("offline", "failed"),
        ("a word of next year", "booting"),
    ],
)
def test_vast_states(provider: Scripted, status: str | None, state: str) -> None:
    assert vast(provider, actual_status=status).get("501").state == state


def test_an_outbid_instance_is_stopped_whatever_its_last_status(provider: Scripted) -> None:
    halted = dict.fromkeys(("cur_state", "intended_status", "next_state"), "stopped")
    assert vast(provider, **halted).get("501").state == "stopped"


def test_vast_logs_wait_for_the_file_and_resume_after_the_last_line(provider: Scripted) -> None:
    log = f"{provider.url}/instance_logs/x.log"
    provider.say("PUT", "/api/v0/instances/request_logs/501", {"success": True, "result_url": log})
    provider.say("GET", "/instance_logs/", b"<Error/>", status=403)
    provider.say("GET", "/instance_logs/", b"one\ntwo\ntwo\n")
    adapter = Vast(provider.account())
    first = adapter.logs("501")
    assert [line.text for line in first] == ["one", "two", "two"]
    assert "Authorization" not in provider.calls("GET", "/instance_logs/")[0].headers
    provider.answers[("GET", "/instance_logs/")].clear()
    provider.say("GET", "/instance_logs/", b"one\ntwo\ntwo\nthree\x1b[0m\n")
    assert [line.text for line in adapter.logs("501", after=first[-1].cursor)] == ["three [0m"]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://169.254.169.254/latest/meta-data",
            "https://evil.example/x",
            "file:///etc/passwd",
            "//x",
            "",
            "http://[",
        ),
        *("https://amazonaws.com.evil.example/x", "http://s3.amazonaws.com/x"),
    ],
)
def test_a_log_address_that_points_elsewhere_is_not_followed(provider: Scripted, address: str) -> None:
    provider.say("PUT", "/api/v0/instances/request_logs/501", {"success": True, "result_url": address})
    with pytest.raises(BadAnswer):
        Vast(provider.account()).logs("501")
