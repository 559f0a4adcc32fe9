"""What customers and PayPal itself do in tests of plans that PayPal renews."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests
from django.urls import reverse
from freezegun import freeze_time

from billing import dunning, plans, renewals
from billing.models import Payment, Subscription
from billing.payments import checkout
from billing.payments.services import service
from tests.people import Person


def agree(url: str, action: str = "approve") -> str:
    """What the customer does on PayPal's page; answers where it sends them back to."""
    parts = urlsplit(url)
    token = parse_qs(parts.query)["ba_token"][0]
    page = f"{parts.scheme}://{parts.netloc}/webapps/billing/subscriptions"
    form = {"ba_token": token, "action": action}
    back = requests.post(page, data=form, timeout=10, allow_redirects=False)
    assert back.status_code == 303, back.text
    return back.headers["Location"]


def ask(person: Person, plan: str = "pro", key: str = "") -> Payment:
    """A plan that PayPal is to renew, waiting for its customer."""
    assert person.organisation is not None
    return renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan(plan),
        card=None,
        actor=person.actor,
        idempotency_key=key or uuid4().hex,
    )


def begin(person: Person, plan: str = "pro") -> Subscription:
    """Agreed to, and its first month paid."""
    payment = ask(person, plan)
    agree(payment.approve_url)
    payment = checkout.complete(payment.pk)
    assert payment.subscription is not None
    payment.subscription.refresh_from_db()
    return payment.subscription


def own_clock(url: str) -> Iterator[PayPalClock]:
    """For a fixture: whoever comes after finds PayPal at the wall's time again."""
    service.cache_clear()
    yield PayPalClock(url)
    assert requests.post(f"{url}/sandbox/reset", timeout=10).ok
    service.cache_clear()


class PayPalClock:
    """PayPal's time and ours, moved together."""

    def __init__(self, url: str) -> None:
        reverse("billing:home")  # the routes of the API must load before time is frozen
        assert requests.post(f"{url}/sandbox/reset", timeout=10).ok
        self.url = url

    @contextmanager
    def at(self, moment: datetime, *, look: bool = True) -> Iterator[None]:
        """It is this moment, there and here; what was due since has been looked at."""
        assert requests.post(f"{self.url}/sandbox/clock", json={"now": moment.isoformat()}, timeout=10).ok
        with freeze_time(moment):
            if look:
                self.look()
            yield

    def look(self) -> None:
        """What the worker does each minute."""
        for row in Subscription.objects.exclude(service_ref="").order_by("pk"):
            dunning.look(row)

    def payer(self, row: Subscription, **knob: Any) -> None:
        """`pays=False`: their account has nothing; `cancel=True`: they cancel at PayPal."""
        assert requests.post(f"{self.url}/sandbox/subscriptions/{row.service_ref}", json=knob, timeout=10).ok
