"""What the tests of pods share. Models are imported inside: this file is read before Django is set up."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from accounts.models import Organisation
    from pods.models import PodConfig
    from tests.people import Person
    from tests.pods.driving import Bench

IMAGE = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime"


@pytest.fixture
def bench(settings: Any, db: None) -> Callable[..., Bench]:
    """`bench("vast")`: a quick peer without instances or faults, its offers in our market."""
    from tests.pods.driving import Bench
    from tests.pods.market import make_provider, peer_url

    def open_bench(slug: str, boot_s: float = 0.2) -> Bench:
        url = peer_url(slug, boot_s)
        settings.PROVIDER_URLS = {**settings.PROVIDER_URLS, slug: url}
        assert requests.post(f"{url}/sandbox/reset", timeout=5).ok
        make_provider(slug)
        return Bench(slug, url)

    return open_bench


@pytest.fixture
def renter(organisation: Organisation, owner: Person) -> Organisation:
    """The organisation of the cast, on the Free plan, with 50 USD."""
    from billing import seeds
    from tests.pods.market import fund

    seeds.seed()
    fund(organisation, Decimal(50))
    return organisation


@pytest.fixture
def config_of(renter: Organisation, owner: Person) -> Callable[..., PodConfig]:
    """A configuration of the renter on a card that the peers have."""
    from pods.configs import create_config

    def make(**columns: Any) -> PodConfig:
        fields = {"name": "job", "image": IMAGE, "gpu_query": "rtx 4090", "disk_gb": 20, **columns}
        return create_config(organisation=renter, actor=owner.actor, **fields)

    return make
