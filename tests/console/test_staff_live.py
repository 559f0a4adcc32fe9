"""Staff of finance hear at once what happens to customers' money; others hear nothing of it."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import Group

from accounts.roles import StaffGroup
from accounts.seeds import seed as seed_staff
from billing.lifecycle import ChargebackStatus, switch_chargeback
from billing.models import Chargeback, Payment
from console.consumers import StaffBillingConsumer
from lib.clock import now
from lib.errors import Forbidden, NotFound
from tests.patience import PATIENCE_S
from tests.people import Person, make_user


def disputed(person: Person) -> Chargeback:
    assert person.organisation is not None
    payment = Payment.objects.create(organisation=person.organisation, service="stripe", purpose="top_up", amount=25)
    return Chargeback.objects.create(
        payment=payment,
        service="stripe",
        service_ref="du_1",
        amount=25,
        currency="USD",
        reason="fraudulent",
        status=ChargebackStatus.NEEDS_RESPONSE,
        opened_at=now(),
    )


@pytest.mark.anyio
@pytest.mark.django_db(transaction=True)
async def test_a_chargeback_that_changes(owner: Person, staff: Person) -> None:
    row, layer = await sync_to_async(disputed)(owner), get_channel_layer()
    channel = await layer.new_channel()
    for group in await sync_to_async(StaffBillingConsumer().authorise)(staff.actor):
        await layer.group_add(group, channel)
    await sync_to_async(switch_chargeback)(row, ChargebackStatus.UNDER_REVIEW)
    heard = await asyncio.wait_for(layer.receive(channel), PATIENCE_S)
    assert heard["event"] == {"type": "chargeback.changed", "id": row.public_id, "status": "under_review"}


def test_who_may_listen(owner: Person) -> None:
    seed_staff()
    user = make_user("support@gpubroker.example", is_staff=True)
    user.groups.add(Group.objects.get(name=StaffGroup.SUPPORT))
    with pytest.raises(Forbidden):
        StaffBillingConsumer().authorise(Person(user=user).actor)
    with pytest.raises(NotFound):
        StaffBillingConsumer().authorise(owner.actor)
