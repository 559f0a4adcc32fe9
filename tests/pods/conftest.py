"""What the tests of pods share. Models are imported inside: this file is read before Django is set up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from accounts.models import Organisation
    from pods.models import PodConfig
    from tests.pods.driving import Bench

IMAGE = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime"


@pytest.fixture
def bench(settings: Any, request: pytest.FixtureRequest) -> Callable[..., Bench]:
    """`bench("vast")`: a quick peer without instances or faults, its offers in our market."""
    if "transactional_db" not in request.fixturenames:
        request.getfixturevalue("db")
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
def renter(request: pytest.FixtureRequest) -> Organisation:
    """An organisation on the Free plan, with an owner and 50 USD."""
    if "transactional_db" not in request.fixturenames:
        request.getfixturevalue("db")
    from tests.pods.market import make_renter

    return make_renter()


@pytest.fixture
def config_of(renter: Organisation) -> Callable[..., PodConfig]:
    """A configuration of the renter on a card that the peers have."""
    from accounts import actor
    from pods.configs import create_config

    def make(**columns: Any) -> PodConfig:
        person = actor.user(renter.members.get())
        fields = {"name": "job", "image": IMAGE, "gpu_query": "rtx 4090", "disk_gb": 20, **columns}
        return create_config(organisation=renter, actor=person, **fields)

    return make
