"""Two meters: what a provider charges for an instance against what we metered; more than 2 % apart is a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from accounts.models import Organisation
from billing import reconciliation, usage
from lib.clock import now
from marketplace.providers.base import Account, BadKey
from marketplace.registry import adapter_class, adapter_for
from pods import provider_bills
from pods.models import Payer, Placement, Pod, Usage
from tests.marketplace.test_provider_contract import cheapest, launch_request
from tests.pods.driving import Bench

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
YESTERDAY, EARLIER = TODAY - DAY, TODAY - 3 * DAY
both = pytest.mark.parametrize("slug", ["runpod", "vast"])


@dataclass
class Meters:
    """One instance that was rented at a peer, known here as a placement unless it is a stranger's."""

    bench: Bench
    renter: Organisation
    ref: str
    placement: Placement | None

    def charge(self, usd: str, day: datetime = YESTERDAY) -> None:
        """The provider's meter."""
        body = {"day": f"{day:%Y-%m-%d}", "usd": usd}
        assert requests.post(f"{self.bench.url}/sandbox/instances/{self.ref}/charge", json=body, timeout=5).ok

    def meter(self, usd: str, start: datetime = YESTERDAY, seconds: int = 3600, *, book: bool = True) -> None:
        """Ours, with what the ledger books of it."""
        assert self.placement
        row = Usage.objects.create(
            placement=self.placement,
            epoch=1,
            started_at=start,
            ended_at=start + timedelta(seconds=seconds),
            seconds=seconds,
            amount=Decimal(usd),
            currency="USD",
            payer=Payer.WALLET,
        )
        if book:
            usage.settle(
                None,
                organisation=self.renter,
                currency="USD",
                usage_id=row.pk,
                amount=row.amount,
                operator=None,
                provider_slug=self.bench.slug,
                keep_open=None,
            )

    def differences(self, since: datetime = YESTERDAY, until: datetime = TODAY) -> list[tuple[str, str, str]]:
        looks = list(provider_bills.compare(self.bench.slug, since, until))
        return [(found.kind, found.ours, found.theirs) for look in looks for found in look.differences]


@pytest.fixture
def rent(bench: Callable[..., Bench], renter: Organisation) -> Callable[..., Meters]:
    def make(slug: str, *, stranger: bool = False) -> Meters:
        desk = bench(slug)
        adapter = adapter_for(slug)
        instance = adapter.create(launch_request(cheapest(adapter)))
        placement = None
        if not stranger:
            pod = Pod.objects.create(organisation=renter, name="job", mode="SANDBOX", payer=Payer.WALLET)
            placement = Placement.objects.create(
                pod=pod,
                epoch=1,
                provider_id=slug,
                ref=instance.ref,
                payer=Payer.WALLET,
                price_per_hour=1,
                provider_price_per_hour=1,
                status=Placement.Status.LIVE,
            )
        return Meters(desk, renter, instance.ref, placement)

    return make


@both
def test_both_meters_agree(rent: Callable[..., Meters], slug: str) -> None:
    meters = rent(slug)
    meters.meter("2.00")
    meters.charge("2.04")
    assert meters.differences() == []
    lines = adapter_for(slug).bill(YESTERDAY, TODAY)  # type: ignore[attr-defined]  # not every adapter has it
    assert [(line.ref, line.amount, line.currency) for line in lines] == [(meters.ref, Decimal("2.04"), "USD")]


@both
def test_more_than_two_percent_is_a_case_with_both_figures(rent: Callable[..., Meters], slug: str) -> None:
    meters = rent(slug)
    meters.meter("2.00")
    meters.charge("2.05")
    ((kind, ours, theirs),) = meters.differences()
    assert (kind, theirs) == ("bill", f"2.050000 USD, {meters.ref}")
    assert ours == f"2.000000 USD for 3600 s, {YESTERDAY:%Y-%m-%d} – {TODAY:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("ours", "theirs", "kinds"),
    [
        ("0.010", "0.020", []),  # a cent
        ("0.010", "0.021", ["bill"]),
        ("1.00", None, ["bill"]),  # never charged for
        (None, "1.00", ["bill"]),  # it never was reached, and costs
        (None, "0.005", []),
    ],
)
def test_what_is_a_difference(
    rent: Callable[..., Meters], ours: str | None, theirs: str | None, kinds: list[str]
) -> None:
    meters = rent("runpod")
    if ours:
        meters.meter(ours)
    if theirs:
        meters.charge(theirs)
    assert [kind for kind, _ours, _theirs in meters.differences()] == kinds


@both
def test_an_instance_that_we_never_made(rent: Callable[..., Meters], slug: str) -> None:
    meters = rent(slug, stranger=True)
    meters.charge("0.50")
    ((kind, ours, theirs),) = meters.differences()
    assert (kind, ours) == ("unknown_instance", reconciliation.NOTHING)
    assert theirs.startswith("0.500000 USD")


def test_only_the_days_that_are_compared_count(rent: Callable[..., Meters]) -> None:
    """An interval over midnight counts by its seconds."""
    meters = rent("runpod")
    meters.meter("3.00", YESTERDAY - timedelta(seconds=1000), 3000)
    meters.charge("2.00")
    meters.charge("9.00", EARLIER)
    assert meters.differences() == []
    assert [theirs for _kind, _ours, theirs in meters.differences(EARLIER, YESTERDAY)] == [
        f"9.000000 USD, {meters.ref}"
    ]


def test_what_was_metered_and_not_booked(rent: Callable[..., Meters]) -> None:
    meters = rent("runpod")
    meters.meter("1.00")
    meters.meter("0.50", YESTERDAY + timedelta(hours=2), book=False)
    meters.charge("1.50")
    assert meters.differences() == [("ledger", "1.500000 USD metered", "1.000000 USD booked")]


def test_the_nightly_run_opens_and_closes_the_case(rent: Callable[..., Meters]) -> None:
    meters = rent("runpod")
    meters.meter("2.00", EARLIER)
    meters.charge("3.00", EARLIER)
    source = "provider:runpod"
    assert source in reconciliation.sources()
    assert reconciliation.run(source).differences == 1
    case = reconciliation.open_cases()[0]
    assert meters.placement
    assert (case.source, case.kind, case.subject) == (source, "bill", meters.placement.public_id)
    meters.bench.fault("http_500", "/v2/billing")
    assert reconciliation.run(source).error
    assert len(reconciliation.open_cases()) == 1
    meters.bench.fault("off", "/v2/billing")
    meters.charge("-1.00", EARLIER)
    assert reconciliation.run(source).differences == 0
    assert reconciliation.open_cases() == []


def test_a_day_is_compared_when_it_is_closed(rent: Callable[..., Meters]) -> None:
    meters = rent("runpod")
    meters.charge("5.00", now().replace(hour=0, minute=0, second=0, microsecond=0))
    assert reconciliation.run("provider:runpod").differences == 0


def test_who_does_not_tell_is_not_asked() -> None:
    assert not provider_bills.tells_its_bill("lambda_labs")
    assert not provider_bills.tells_its_bill("akash")


@both
def test_a_wrong_key_reads_no_bill(bench: Callable[..., Bench], slug: str) -> None:
    url = bench(slug).url
    adapter: Any = adapter_class(slug)(Account(key="wrong", base_url=url))  # type: ignore[call-arg]  # protocol
    with pytest.raises(BadKey):
        adapter.bill(YESTERDAY, TODAY)
