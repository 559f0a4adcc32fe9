"""What `make run MODE=LIVE` reads without a key: the providers' own listings, by its settings, task and adapters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings as loaded

from lib.local.installation import CHECKOUT, Installation
from lib.local.ports import free_port
from marketplace.models import Offer, Provider
from marketplace.providers.base import RateLimited, Unreachable
from marketplace.registry import adapter_class, adapter_for, can_list
from marketplace.tasks import ingest_one

KEYLESS = [slug for slug in loaded.PROVIDER_URLS if adapter_class(slug).keyless_listing]
CONNECT_S = 3.0
NO_NETWORK = "the internet is out of reach"
READ_ADDRESSES = "import json; from config import settings; print(json.dumps(settings.PROVIDER_URLS))"

Live = dict[str, str]


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """Where the settings of a LIVE installation, with nothing set beside, say that the providers are."""
    state = tmp_path_factory.mktemp("live")
    installation = Installation.read({"MODE": "LIVE", "STATE_DIR": str(state), "PORT": str(free_port())})
    environment = {"PATH": os.environ["PATH"], **installation.environment()}
    command = [sys.executable, "-c", READ_ADDRESSES]
    told = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    found: Live = json.loads(told.stdout)
    return found


@pytest.fixture(scope="session")
def within_reach(addresses: Live) -> set[str]:
    """The keyless providers whose hosts answer, asked once and all at the same time."""

    def answers(slug: str) -> bool:
        try:
            return requests.head(addresses[slug], timeout=CONNECT_S, allow_redirects=False).status_code < 500
        except requests.RequestException:
            return False

    with ThreadPoolExecutor() as pool:
        return {slug for slug, answer in zip(KEYLESS, pool.map(answers, KEYLESS), strict=True) if answer}


@pytest.fixture
def live(market: None, addresses: Live, settings: Any) -> None:
    settings.PROVIDER_URLS = addresses
    settings.PROVIDER_KEYS = dict.fromkeys(addresses, "")


def test_live_settings_name_the_providers_themselves(addresses: Live) -> None:
    assert set(addresses) == set(loaded.PROVIDER_URLS)
    for slug, address in addresses.items():
        module = sys.modules[adapter_class(slug).__module__]
        assert address == module.LIVE_URL, "the settings and the adapter name the same host"
        assert urlsplit(address).scheme == "https"


def test_without_keys_only_keyless_listings_are_read(live: None) -> None:
    assert {slug for slug in loaded.PROVIDER_URLS if can_list(slug)} == set(KEYLESS) == {"vast", "runpod", "akash"}


@pytest.mark.network
@pytest.mark.parametrize("slug", KEYLESS)
def test_a_real_listing_becomes_offers(slug: str, live: None, within_reach: set[str], addresses: Live) -> None:
    if slug not in within_reach:
        pytest.skip(f"{NO_NETWORK}: {addresses[slug]} does not answer")
    ingest_one(slug)
    provider = Provider.objects.get(pk=slug)
    if provider.health == Provider.Health.FAILING:
        _skip_if_away(slug)
    assert provider.health in (Provider.Health.HEALTHY, Provider.Health.DEGRADED), provider.last_error
    print(f"{slug}: {provider.offers_seen} offers, {provider.refused_rows} rows refused ({provider.last_error})")
    assert provider.offers_seen > provider.refused_rows, f"most rows are understood, but: {provider.last_error}"
    offers = Offer.objects.filter(provider=slug, source=Offer.Source.LIVE, withdrawn_at=None).select_related("gpu")
    assert offers.count() == provider.offers_seen
    assert all(Decimal("0.001") < offer.price_per_hour / offer.gpu_count < 100 for offer in offers)
    assert len({offer.gpu_id for offer in offers}) > 3


def _skip_if_away(slug: str) -> None:
    """A host that answers while its API does not, or not to us now, says nothing about our reading."""
    try:
        adapter_for(slug).list_offers()
    except (Unreachable, RateLimited) as error:
        pytest.skip(f"{NO_NETWORK}: {error.message}")
