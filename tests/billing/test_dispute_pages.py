"""Pages and routes of disputes: both sides see theirs, staff decide, the records are shown to whom they belong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organisation
from billing.models import Dispute
from catalyst.models import Failover, Node, NodePod
from lib.clock import now
from lib.rate import limit
from pods.models import LogLine, PodEvent
from tests.billing.disputing import dispute_it, rent
from tests.people import Person, join, make_organisation, make_user

SPANISH = {"Accept-Language": "es"}


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def machine_owner(operator: Organisation) -> Person:
    return join(operator, "owner@machines.example", "owner")


def finance(email: str) -> Person:
    person = Person(user=make_user(email, is_staff=True))
    person.user.groups.add(Group.objects.get_or_create(name="finance")[0])
    return person


def html(person: Person, address: str) -> str:
    answer = person.client.get(address)
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())


def test_from_the_pod_to_the_end(
    owner: Person, organisation: Organisation, machine_owner: Person, operator: Organisation
) -> None:
    pod = rent(organisation, operator, ["0.333333", "0.1"])
    opening_page = f"/billing/disputes/open/{pod.public_id}/"
    assert opening_page in html(owner, f"/pods/{pod.public_id}/tab/billing/")
    page = html(owner, opening_page)
    assert "0.433333" in page
    form = {
        "owner": operator.public_id,
        "amount": "0.4",
        "reason": "slower",
        "text": "Half the speed.",
        "token": uuid4().hex,
    }
    answer = owner.client.post(opening_page, form)
    dispute = Dispute.objects.get()
    address = f"/billing/disputes/{dispute.public_id}/"
    assert answer["Location"] == address
    assert owner.client.post(opening_page, form)["Location"] == address
    assert "Half the speed." in html(machine_owner, address)
    assert dispute.pod_name in html(machine_owner, "/billing/disputes/")
    assert "Your answer" in html(machine_owner, address)
    assert "Your answer" not in html(owner, address)
    refused = owner.client.post(f"{address}answer/", {"text": "Mine, which was long to write."})
    assert refused.status_code == 422
    for words in ("Only the owner answers", "Mine, which was long to write."):
        assert words in refused.content.decode()
    machine_owner.client.post(f"{address}answer/", {"text": "It was fast."})
    assert "It was fast." in html(owner, address)

    first, second = finance("one@gpubroker.example"), finance("two@gpubroker.example")
    staff_page = f"/staff/disputes/{dispute.public_id}/"
    assert staff_page in html(first, "/staff/disputes/")
    assert "Half the speed." in html(first, staff_page)
    for refund, note in (("9", "What I think."), ("0.2", "What I think." + "x" * 1988)):
        refused = first.client.post(f"{staff_page}decide/", {"refund": refund, "note": note})
        assert refused.status_code == 422
        assert note in refused.content.decode()
    first.client.post(f"{staff_page}decide/", {"refund": "0,2", "note": "Half of it."}, headers=SPANISH)
    assert "Half of it." in html(owner, address)
    owner.client.post(f"{address}appeal/", {"text": "More."})
    second.client.post(f"{staff_page}decide/", {"refund": "0.4", "note": "All of it."})
    dispute.refresh_from_db()
    assert dispute.status == "final"
    assert "All of it." in html(machine_owner, address)
    refused = owner.client.post(f"{address}appeal/", {"text": "And now more."})
    assert (refused.status_code, "And now more." in refused.content.decode()) == (422, True), "also when it is too late"
    assert "Dispute" in html(owner, "/billing/")


def test_the_live_part_alone(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    address = f"/billing/disputes/{dispute.public_id}/"
    part = owner.client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "It stood still." in part
    assert "live:dispute.changed" in html(owner, address)


def test_wrong_forms(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    pod = rent(organisation, operator, ["1"])
    address = f"/billing/disputes/open/{pod.public_id}/"
    good = {"owner": operator.public_id, "amount": "1", "reason": "other", "text": "x", "token": uuid4().hex}
    for change in ({"amount": "2"}, {"amount": "0"}, {"reason": "no"}, {"text": ""}, {"owner": "x"}, {"token": ""}):
        assert owner.client.post(address, good | change).status_code == 422, change
    assert not Dispute.objects.exists()
    ours = rent(organisation, None, ["1"])
    assert "Nothing was paid to an owner" in html(owner, f"/billing/disputes/open/{ours.public_id}/")
    assert owner.client.post(f"/billing/disputes/open/{ours.public_id}/", good).status_code == 409


def test_records(owner: Person, organisation: Organisation, machine_owner: Person, operator: Organisation) -> None:
    """What both read, and the log, which is the renter's."""
    pod = rent(organisation, operator, ["1", "1"])
    moment = now() - timedelta(minutes=1)
    LogLine.objects.create(pod=pod, epoch=1, number=1, at=moment, text="secret loss 0.3")
    PodEvent.objects.create(pod=pod, epoch=1, at=moment, kind="node_lost", message="No beat.")
    dispute = dispute_it(owner, pod)
    names = dispute.records.order_by("pk").values_list("name", flat=True)
    assert list(names) == ["usage", "events", "log", "nodes", "failovers"]
    [usage] = dispute.records.get(name="usage").rows
    assert (usage["seconds"], usage["amount"]) == (120, "2.000000")
    address = f"/billing/disputes/{dispute.public_id}/"
    page = html(machine_owner, address)
    for words in ("No beat.", "Price per hour"):
        assert words in page
    assert "price_per_hour" not in page
    assert "secret loss" in html(owner, address)
    assert "secret loss" not in html(machine_owner, address)
    assert "secret loss" in html(finance("one@gpubroker.example"), f"/staff/disputes/{dispute.public_id}/")


def test_records_of_nodes(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    """Of the owner's nodes; nothing of the machines of others."""
    pod = rent(organisation, operator, ["1"])
    elsewhere = make_organisation("Other machines")
    for number, organisation_ in enumerate((operator, elsewhere)):
        node = Node.objects.create(organisation=organisation_, name=f"node-{number}", last_beat_at=now())
        NodePod.objects.create(node=node, pod=pod, epoch=number + 1, slot=0, placement_key=f"k{number}", state="gone")
        Failover.objects.create(
            pod=pod, from_epoch=number + 1, to_epoch=number + 2, from_node=node, cause="silent", last_seen_at=now()
        )
    dispute = dispute_it(owner, pod)
    [node_row] = dispute.records.get(name="nodes").rows
    [move] = dispute.records.get(name="failovers").rows
    assert (node_row["node"], node_row["state"], move["from_node"], move["cause"]) == (
        "node-0",
        "gone",
        "node-0",
        "silent",
    )
    assert node_row["last_beat"].endswith(" UTC")


def test_by_the_api(owner: Person, organisation: Organisation, machine_owner: Person, operator: Organisation) -> None:
    pod = rent(organisation, operator, ["1"])
    [claim] = owner.api("get", f"disputes/claims/{pod.public_id}").json()["items"]
    assert (claim["owner"], claim["paid"]["amount"]) == (operator.public_id, "1.000000")
    body = {"pod_id": pod.public_id, "amount": "0.5", "reason": "other", "text": "It stood still."}
    assert owner.api("post", "disputes/", body).status_code == 422, "a key is needed"
    key = {"Idempotency-Key": uuid4().hex}
    made = owner.api("post", "disputes/", body, key)
    assert made.status_code == 201, made.content
    assert owner.api("post", "disputes/", body, key).json() == made.json()
    assert owner.api("post", "disputes/", body | {"amount": "0.4"}, key).status_code == 409
    for wrong in ({"amount": "0"}, {"amount": "7"}, {"reason": "x"}, {"text": ""}, {"owner": "org_x"}):
        answer = owner.api("post", "disputes/", body | wrong, {"Idempotency-Key": uuid4().hex})
        assert answer.status_code in {409, 422}, wrong
    id = made.json()["id"]
    answer = machine_owner.api("post", f"disputes/{id}/answer", {"text": "It ran."}, {"Idempotency-Key": "a"})
    assert (answer.status_code, answer.json()["role"], answer.json()["status"]) == (200, "owner", "answered")
    assert owner.api("post", f"disputes/{id}/appeal", {"text": "x"}, {"Idempotency-Key": "b"}).status_code == 409
    staff = finance("one@gpubroker.example")
    decided = staff.api("post", f"admin/disputes/{id}/decide", {"refund": "0.25", "note": "A half."})
    assert decided.status_code == 200, decided.content
    again = staff.api("post", f"admin/disputes/{id}/decide", {"refund": "0.25", "note": "A half."})
    assert again.json()["decisions"] == decided.json()["decisions"]
    appealed = owner.api("post", f"disputes/{id}/appeal", {"text": "More."}, {"Idempotency-Key": "c"})
    assert appealed.json()["status"] == "appealed"
    [row] = machine_owner.api("get", "disputes/").json()["items"]
    assert (row["id"], row["role"], row["decisions"][0]["refund"]["amount"]) == (id, "owner", "0.250000")
    assert staff.api("get", "admin/disputes").json()["items"][0]["id"] == id


def test_both_doors_have_one_limit(
    owner: Person, organisation: Organisation, operator: Organisation, machine_owner: Person
) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    use_up(operator)
    address = f"/billing/disputes/{dispute.public_id}/answer/"
    assert machine_owner.client.post(address, {"text": "It ran."}).status_code == 429
    use_up(organisation)
    key = {"Idempotency-Key": uuid4().hex}
    assert owner.api("post", f"disputes/{dispute.public_id}/appeal", {"text": "x"}, key).status_code == 429


def use_up(side: Organisation) -> None:
    """All that it may say within a minute."""
    for _number in range(20):
        limit(f"organisation:{side.pk}", "disputes.say", per_minute=20)


def test_the_list_asks_no_more_for_more_rows(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    dispute_it(owner, rent(organisation, operator, ["1"]))
    owner.api("get", "disputes/")  # the first call of a session asks for more
    with CaptureQueriesContext(connection) as one:
        owner.api("get", "disputes/")
    dispute_it(owner, rent(organisation, operator, ["1"]))
    with CaptureQueriesContext(connection) as two:
        assert len(owner.api("get", "disputes/").json()["items"]) == 2
    assert len(two) == len(one)


def test_support_reads_no_money(owner: Person, organisation: Organisation, operator: Organisation) -> None:
    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    person = Person(user=make_user("help@gpubroker.example", is_staff=True))
    person.user.groups.add(Group.objects.get_or_create(name="support")[0])
    for address in ("", f"{dispute.public_id}/"):
        assert person.client.get(f"/staff/disputes/{address}").status_code == 403
    assert finance("one@gpubroker.example").client.get("/staff/disputes/dsp_x/").status_code == 404


def test_a_member_of_both_sides_is_where_they_work(
    owner: Person, organisation: Organisation, operator: Organisation
) -> None:
    from accounts.models import Member

    dispute = dispute_it(owner, rent(organisation, operator, ["1"]))
    Member.objects.create(organisation=operator, user=owner.user, role="viewer")
    assert owner.api("get", f"disputes/{dispute.public_id}").json()["role"] == "renter"
    there = {"X-Organisation": operator.public_id}
    assert owner.api("get", f"disputes/{dispute.public_id}", headers=there).status_code == 403
