"""Prices over time. What we observe is kept as changes: at each moment an offer costs what its last change said.
Imported histories are samples: each counts at its own time, and gaps are not filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.cache import cache
from django.db import connection

from lib.clock import now
from marketplace.models import Offer, PricePoint

CACHE_S = 300
TREND_DAYS = 30
LEAST_DAYS = 4
MAX_POINTS = 2000
PRICES = """
WITH prices AS (
  SELECT o.gpu_id, o.kind, edge.at, changed.price_per_gpu_hour AS price
  FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz, %(step)s::interval) AS edge (at)
  JOIN marketplace_offer o
    ON o.gpu_id = ANY (%(gpus)s) AND o.source = 'live' AND o.first_seen_at < edge.at + %(step)s::interval
   AND (o.withdrawn_at IS NULL OR o.withdrawn_at > edge.at)
  CROSS JOIN LATERAL (
    SELECT p.price_per_gpu_hour FROM marketplace_pricepoint p
    WHERE p.offer_id = o.id AND p.at < edge.at + %(step)s::interval ORDER BY p.at DESC LIMIT 1
  ) AS changed
  UNION ALL
  SELECT gpu_id, kind, date_bin(%(step)s::interval, at, %(start)s::timestamptz), price_per_gpu_hour
  FROM marketplace_pricepoint
  WHERE offer_id IS NULL AND gpu_id = ANY (%(gpus)s) AND at >= %(start)s::timestamptz
)
SELECT gpu_id, kind, at, min(price), percentile_disc(0.5) WITHIN GROUP (ORDER BY price), count(*)
FROM prices GROUP BY gpu_id, kind, at ORDER BY gpu_id, kind, at
"""


@dataclass(frozen=True, slots=True)
class PriceSpan:
    """One step of time: the lowest and the median price, USD per GPU-hour, of `count` prices."""

    at: datetime
    lowest: Decimal
    median: Decimal
    count: int


def step_for(days: int) -> timedelta:
    """Some 50 to 400 steps: by the quarter hour for a day, by the day for a year."""
    if days <= 1:
        return timedelta(minutes=15)
    if days <= 7:
        return timedelta(hours=1)
    return timedelta(hours=6) if days <= 45 else timedelta(days=1 if days <= 400 else 7)


def model_history(gpu: str, *, days: int, kind: str) -> list[PriceSpan]:
    """How the price of a model moved. Cached for five minutes."""
    key = f"history:{gpu}:{days}:{kind}"
    found: list[PriceSpan] | None = cache.get(key)
    if found is None:
        found = _read([gpu], days, step_for(days)).get((gpu, kind), [])
        cache.set(key, found, CACHE_S)
    return found


def trends(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[PriceSpan]]:
    """For each (model, kind) the small line in tables: 30 days by the day, or the last three hours by five minutes
    where we have not watched for longer. Cached for five minutes."""
    names = {f"trend:{gpu}:{kind}": (gpu, kind) for gpu, kind in pairs}
    known = {names[name]: spans for name, spans in cache.get_many(names).items()}
    missing = [pair for pair in names.values() if pair not in known]
    if missing:
        gpus = sorted({gpu for gpu, _ in missing})
        by_day, newest = _read(gpus, TREND_DAYS, timedelta(days=1)), _read(gpus, 3 / 24, timedelta(minutes=5))
        fresh = {pair: _longer(by_day.get(pair, []), newest.get(pair, [])) for pair in missing}
        cache.set_many({f"trend:{gpu}:{kind}": spans for (gpu, kind), spans in fresh.items()}, CACHE_S)
        known |= fresh
    return known


def _longer(by_day: list[PriceSpan], newest: list[PriceSpan]) -> list[PriceSpan]:
    return by_day if len(by_day) >= LEAST_DAYS else newest


def offer_history(offer: Offer, *, limit: int = MAX_POINTS) -> list[tuple[datetime, Decimal]]:
    """Every change of this offer's price, USD per GPU-hour, oldest first; the newest `limit` of them."""
    rows = PricePoint.objects.filter(offer=offer).order_by("-at").values_list("at", "price_per_gpu_hour")[:limit]
    return list(rows)[::-1]


def _read(gpus: Sequence[str], days: float, step: timedelta) -> dict[tuple[str, str], list[PriceSpan]]:
    end = now()
    start = (end - timedelta(days=days)).replace(second=0, microsecond=0)
    if step >= timedelta(hours=1):
        start = start.replace(minute=0, hour=0 if step >= timedelta(hours=6) else start.hour)
    found: dict[tuple[str, str], list[PriceSpan]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            PRICES, {"gpus": list(gpus), "start": start, "end": end, "step": f"{step.total_seconds():.0f} s"}
        )
        for gpu, kind, at, lowest, median, count in cursor.fetchall():
            found.setdefault((gpu, kind), []).append(PriceSpan(at, lowest, median, count))
    return found
