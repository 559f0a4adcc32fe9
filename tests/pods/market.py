"""A small market read from quick peers, and somebody who pays."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests

from accounts.models import Organisation
from billing import ledger, lots
from billing.accounts import Kind, platform_account, wallet_of
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program
from marketplace.gpus import load_models
from marketplace.ingest import ingest_provider
from marketplace.models import GpuModel, Offer, Provider
from marketplace.registry import adapter_class
from tests.conftest import servers

_peers: dict[tuple[str, float], str] = {}


def peer_url(slug: str, boot_s: float) -> str:
    """A peer whose market stands still; started at the first call."""
    if (slug, boot_s) not in _peers:
        _peers[slug, boot_s] = _start(slug, boot_s)
    return _peers[slug, boot_s]


def _start(slug: str, boot_s: float) -> str:
    url = f"http://{LOOPBACK}:{(port := free_port())}"
    state = servers.folder / "peers" / f"{slug}-{boot_s}.sqlite3"
    state.parent.mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "sandbox", slug, "--host", LOOPBACK, "--port", str(port), "--seed", "7"]
    argv += ["--state", str(state), "--tick-s", "0", "--boot-s", str(boot_s)]
    servers.start_program(Program(f"{slug}-{boot_s}", tuple(argv), ready=lambda: _answers(url)))
    return url


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/sandbox/health", timeout=2).ok
    except requests.RequestException:
        return False


def make_provider(slug: str) -> Provider:
    """The provider with its adapter's capabilities, the GPU table, and its listing."""
    adapter = adapter_class(slug)
    provider, _made = Provider.objects.update_or_create(
        slug=slug, defaults={"name": adapter.name, "capabilities": sorted(adapter.capabilities)}
    )
    if not GpuModel.objects.exists():
        GpuModel.objects.bulk_create(
            GpuModel(
                slug=model.slug, name=model.name, vendor=model.vendor, kind=model.kind, vram_gb=model.vram_gb,
                source=model.source,
            )
            for model in load_models()
        )  # fmt: skip
    ingest_provider(slug)
    return provider


def fund(organisation: Organisation, amount: Decimal, currency: str = "USD") -> None:
    id = uuid4()
    if currency == lots.CURRENCY:
        lots.grant(organisation, amount, id=id, source=lots.Source.STAFF)
        return
    ledger.post(
        [
            ledger.Leg(
                id=id,
                debit=platform_account(Kind.OPENING, currency, id).pk,
                credit=wallet_of(organisation, currency).pk,
                amount=amount,
                currency=currency,
                source_type="test",
                source_id=str(id),
            )
        ]
    )


def cheapest(slug: str, **filters: Any) -> Offer:
    rows = Offer.objects.filter(provider_id=slug, withdrawn_at=None, kind="on_demand", **filters)
    found = rows.exclude(available_count=0).order_by("price_per_hour").first()
    assert found is not None
    return found
