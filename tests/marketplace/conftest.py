"""Fixtures of the market's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketplace.providers.vast import client as vast_client
from tests.marketplace.scripted import Scripted, scripted_provider


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A provider that says what the test tells it to; nobody waits for its log files."""
    monkeypatch.setattr(vast_client, "LOG_PAUSE_S", 0)
    with scripted_provider() as script:
        yield script


@pytest.fixture
def market(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers and models are there, no offers; every search looks for changes."""
    from marketplace import snapshot
    from marketplace.seeds import seed_gpu_models, seed_providers

    monkeypatch.setattr(snapshot, "CHECK_S", 0.0)
    seed_gpu_models()
    seed_providers()
