"""What operators ask: is the process alive, may it get traffic, how is it doing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_prometheus.exports import ExportToDjangoView

from catalyst.models import Node
from catalyst.states import NodeStatus
from config.pulse import silent_queues
from lib import http
from marketplace.models import Offer, Provider


def health(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"ok": True})


def readiness(request: HttpRequest) -> JsonResponse:
    """200 when all parts that a customer needs are there; 503 names those that are not."""
    parts = {name: _check(probe) for name, probe in PROBES.items()}
    ready = all(answer == "ok" for answer in parts.values())
    answer = JsonResponse({"ready": ready, "parts": parts}, status=200 if ready else 503)
    answer._has_been_logged = True  # type: ignore[attr-defined]  # not ready is an answer, not an error of ours
    return answer


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus figures, for loopback and the token's holder only."""
    address = ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104  (an address that is not ours)
    token = settings.METRICS_TOKEN
    if not address.is_loopback and not (token and request.headers.get("Authorization") == f"Bearer {token}"):
        return HttpResponse(status=404)
    answer: HttpResponse = ExportToDjangoView(request)
    return answer


def _check(probe: Callable[[], str]) -> str:
    try:
        return probe()
    except Exception as error:  # whatever is broken, the answer names the part and not its secrets
        return type(error).__name__


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    return "missing" if executor.migration_plan(executor.loader.graph.leaf_nodes()) else "ok"


def _valkey() -> str:
    cache.set("readiness", "ok", 10)
    return cache.get("readiness") or "lost"


def _peers() -> str:
    if not settings.SANDBOX:
        return "ok"
    for slug, url in settings.PROVIDER_URLS.items():
        if not http.call(slug, "GET", f"{url}/sandbox/health", timeout_s=2.0).ok:
            return slug
    return "ok"


def _workers() -> str:
    silent = silent_queues()
    return f"silent: {', '.join(silent)}" if silent else "ok"


def _market() -> str:
    seen = Offer.objects.filter(source=Offer.Source.LIVE).exclude(provider_id="catalyst").exists()
    asked = Provider.objects.filter(enabled=True, last_attempt_at__isnull=False).exists()
    return "ok" if seen or (asked and not settings.SANDBOX) else "no offers yet"


def _nodes() -> str:
    if not settings.EXPECT_NODES:
        return "ok"
    return "ok" if Node.objects.filter(status=NodeStatus.ALIVE).exists() else "none alive"


PROBES: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "valkey": _valkey,
    "peers": _peers,
    "workers": _workers,
    "market": _market,
    "nodes": _nodes,
}
