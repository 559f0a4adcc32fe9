"""Monthly spend limits: people are told at the soft one; at the hard one pods stop, and none starts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connections
from django.db.models import Sum

from accounts.models import Organisation
from lib.clock import now
from lib.errors import Conflict
from marketplace.models import Provider
from notifications.models import Notification
from pods import actions, metering, spend_limits
from pods.models import MonthSpend, Payer, Placement, Pod, SpendLimit, Usage
from pods.states import DesiredStatus, PodStatus, Reason
from tests.people import Person

Running = Callable[..., Placement]


@pytest.fixture
def running(renter: Organisation) -> Running:
    """A running pod of 3.60 USD an hour that was reached an hour ago and not billed yet."""

    def make(person: Person, payer: str = Payer.WALLET) -> Placement:
        provider, _made = Provider.objects.get_or_create(slug="vast", defaults={"name": "V"})
        pod = Pod.objects.create(
            organisation=renter,
            name="job",
            mode="SANDBOX",
            status=PodStatus.RUNNING,
            epoch=1,
            payer=payer,
            created_by=person.user,
        )
        row = Placement.objects.create(
            pod=pod,
            epoch=1,
            provider=provider,
            status=Placement.Status.LIVE,
            payer=payer,
            price_per_hour=Decimal("3.6"),
            provider_price_per_hour=Decimal("3.6"),
            reached_at=now() - timedelta(hours=1),
            seen_at=now(),
            ref="r",
        )
        metering.open_hold(row)
        return row

    return make


def put(person: Person, **body: Any) -> Any:
    return person.api("put", "wallets/limits", body)


def test_at_the_hard_limit_pods_stop_and_none_starts(running: Running, owner: Person, renter: Organisation) -> None:
    row = running(owner)
    assert put(owner, soft="0.5", hard="2").json()["hard"] == {"amount": "2.000000", "currency": "USD"}
    metering.meter(row.pk)
    pod = Pod.objects.get()
    assert Usage.objects.get().amount == 2
    assert (pod.desired_status, pod.desired_reason) == (DesiredStatus.STOPPED, Reason.LIMIT_REACHED)
    Pod.objects.update(status=PodStatus.STOPPED)
    with pytest.raises(Conflict) as refused:
        actions.start_pod(pod=pod, actor=owner.actor)
    assert refused.value.code == "limit_reached"
    assert put(owner, hard="20").status_code == 200
    actions.start_pod(pod=pod, actor=owner.actor)


def test_what_the_limit_forgave_is_not_billed_later(running: Running, owner: Person, renter: Organisation) -> None:
    row = running(owner)
    put(owner, hard="2")
    metering.meter(row.pk)
    put(owner, hard="20")
    assert row.seen_at is not None
    Placement.objects.filter(pk=row.pk).update(seen_at=row.seen_at + timedelta(minutes=1))
    metering.meter(row.pk)
    assert [used.amount for used in Usage.objects.order_by("started_at")] == [
        2,
        pytest.approx(Decimal("0.06"), abs=Decimal("0.002")),
    ]


def test_a_member_s_limit_binds_their_pods_alone(
    running: Running, owner: Person, member: Person, renter: Organisation
) -> None:
    mine, theirs = running(owner), running(member)
    membership = renter.memberships.get(user=member.user)
    assert put(owner, member=membership.public_id, hard="1").status_code == 200
    for row in (mine, theirs):
        metering.meter(row.pk)
    assert Usage.objects.get(placement=mine).amount == Decimal("3.6")
    assert Usage.objects.get(placement=theirs).amount == 1
    wanted = dict(Pod.objects.values_list("created_by", "desired_status"))
    assert wanted == {owner.user.pk: DesiredStatus.RUNNING, member.user.pk: DesiredStatus.STOPPED}
    shown = owner.api("get", "wallets/limits").json()["items"]
    spent = {item["member"]: item["spent"]["amount"] for item in shown}
    assert (spent[None], spent[member.user.email]) == ("4.600000", "1.000000")


def test_last_month_does_not_count(running: Running, owner: Person, renter: Organisation) -> None:
    row = running(owner)
    metering.meter(row.pk)
    MonthSpend.objects.update(month=(spend_limits.month_start() - timedelta(hours=1)).replace(day=1))
    put(owner, hard="1")
    spend_limits.require_room(renter, owner.user, payer=Payer.WALLET)


def test_people_are_told_once_a_month(running: Running, owner: Person, renter: Organisation) -> None:
    put(owner, soft="3")
    assert spend_limits.tell_of_soft_limits() == 0
    metering.meter(running(owner).pk)
    assert [spend_limits.tell_of_soft_limits() for _ in range(3)] == [1, 0, 0]
    assert Notification.objects.filter(user=owner.user, kind="spend.limit").count() == 1
    SpendLimit.objects.update(told_at=spend_limits.month_start() - timedelta(days=1))
    assert spend_limits.tell_of_soft_limits() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"hard": "0"}, "hard"),
        ({"hard": "-1"}, "hard"),
        ({"soft": "0.001"}, "soft"),
        ({"soft": "5", "hard": "4"}, "soft"),
        ({"hard": "1e400"}, "hard"),
    ],
)
def test_bad_amounts(owner: Person, renter: Organisation, body: dict[str, str], field: str) -> None:
    answer = put(owner, **body)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (422, {field})
    assert not SpendLimit.objects.exists()


def test_who_may_set_them(member: Person, outsider: Person, owner: Person, renter: Organisation) -> None:
    theirs = renter.memberships.get(user=owner.user).public_id
    assert put(member, hard="5").status_code == 403
    assert put(outsider, member=theirs, hard="5").status_code == 404
    assert put(owner, member="mem_" + "0" * 26, hard="5").status_code == 404
    assert not SpendLimit.objects.exists()


def test_the_page_keeps_what_was_typed_beside_its_error(owner: Person, renter: Organisation) -> None:
    page = owner.client.post("/billing/limits/", {"member": "", "soft": "9", "hard": "abc"})
    assert page.status_code == 422
    assert 'value="abc"' in page.content.decode()
    form = {"member": renter.memberships.get(user=owner.user).public_id, "soft": "", "hard": "7.50"}
    assert owner.client.post("/billing/limits/", form).status_code == 302
    assert 'value="7.50"' in owner.client.get("/billing/limits/").content.decode()
    assert SpendLimit.objects.get().person == owner.user


def test_credits_are_not_limited(owner: Person, renter: Organisation) -> None:
    put(owner, hard="1")
    assert spend_limits.room_for(renter, owner.user, payer=Payer.CREDITS) is None
    room = spend_limits.room_for(renter, owner.user, payer=Payer.WALLET)
    assert room is not None
    assert room.left == 1


@pytest.mark.django_db(transaction=True)
def test_pods_that_are_billed_in_the_same_moment_do_not_pass_it_together(
    running: Running, owner: Person, renter: Organisation
) -> None:
    rows = [running(owner) for _ in range(4)]
    put(owner, hard="5")
    together = Barrier(len(rows))

    def bill(row: Placement) -> None:
        together.wait(timeout=10)
        try:
            metering.meter(row.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(rows)) as threads:
        list(threads.map(bill, rows))
    charged = Usage.objects.aggregate(total=Sum("amount"))["total"]
    assert charged == spend_limits.spent(renter) == spend_limits.spent(renter, owner.user) == 5


def test_each_charge_counts_for_the_organisation_and_for_who_started_it(owner: Person, renter: Organisation) -> None:
    spend_limits.count(spend_limits.lock(renter, owner.user), Decimal("1.25"))
    spend_limits.count(spend_limits.lock(renter, None), Decimal("0.50"))
    assert (spend_limits.spent(renter), spend_limits.spent(renter, owner.user)) == (Decimal("1.75"), Decimal("1.25"))
