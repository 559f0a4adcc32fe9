"""A job's cost in credits, from its rate, its size, and how long it took before."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Organisation
from marketplace.models import Provider
from pods.models import Payer, Placement, Pod, PodConfig
from pods.states import PodStatus
from tests.people import Person
from tests.pods.market import fund


@pytest.fixture
def config(config_of: Callable[..., PodConfig]) -> PodConfig:
    return config_of(payer=Payer.CREDITS, command=["train"])


def ran(config: PodConfig, *seconds: int) -> None:
    provider, _made = Provider.objects.get_or_create(slug="catalyst", defaults={"name": "Catalyst"})
    for took in seconds:
        pod = Pod.objects.create(
            organisation=config.organisation,
            name="job",
            mode="SANDBOX",
            status=PodStatus.COMPLETED,
            payer=Payer.CREDITS,
            image=config.image,
            command=config.command,
        )
        Placement.objects.create(
            pod=pod,
            epoch=1,
            provider=provider,
            payer=Payer.CREDITS,
            price_per_hour=1,
            provider_price_per_hour=1,
            billed_seconds=took,
        )


def ask(person: Person, **body: Any) -> Any:
    return person.api("post", "credits/estimate", {"resource": "cpu", **body})


def test_without_history_only_the_rate_is_known(owner: Person, renter: Organisation, config: PodConfig) -> None:
    fund(renter, Decimal(10), "CREDIT")
    answer = ask(owner, config=config.public_id).json()
    assert (answer["history"], answer["low"], answer["high"]) == (None, None, None)
    assert answer["credits_per_hour"] == "0.020000"
    assert answer["lasts_seconds"] == 500 * 3600


def test_size_and_history_make_the_cost(owner: Person, config: PodConfig) -> None:
    ran(config, 3600, 3600, 3600, 7200, 36000)
    answer = ask(owner, config=config.public_id, units=2, code_bytes=10**9, data_bytes=89 * 10**9).json()
    assert answer["transfer_seconds"] == 3600
    assert answer["history"] == {"runs": 5, "median_seconds": 3600, "p90_seconds": 24480}
    assert answer["low"]["amount"] == "0.080000"
    assert answer["high"]["amount"] == "0.312000"


def test_others_runs_do_not_count(owner: Person, config: PodConfig, outsider: Person) -> None:
    ran(config, 3600)
    Pod.objects.update(command=["something else"])
    assert ask(owner, config=config.public_id).json()["history"] is None
    assert ask(outsider, config=config.public_id).status_code == 404


def test_what_credits_do_not_pay(owner: Person, renter: Organisation) -> None:
    answer = ask(owner, resource="abacus")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_credit_rate")
    assert ask(owner, units=0).status_code == 422
    assert ask(owner, data_bytes=-1).status_code == 422
