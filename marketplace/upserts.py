"""Writing many offers at once: COPY into a staging table, then only what differs goes into the offers.

Rows that say the same as before get their new `observed_at` and nothing else. Rows that differ carry the market's new
version, which the snapshots in memory follow; the version is one row, so that writers commit in its order and a reader
who sees version n has seen all before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from django.db import connection, transaction

# Of an incoming row, in the order in which it is copied. `id` is taken when the offer is new.
CONTENT = (
    "gpu_id", "gpu_count", "vram_gb", "price_per_hour", "disk_price_gb_month", "egress_price_gb", "vcpus", "ram_gb",
    "disk_gb", "net_down_mbps", "net_up_mbps", "region", "country", "tier", "form_factor", "reliability", "verified",
    "available_count", "max_duration_s", "extra",
)  # fmt: skip
COLUMNS = ("id", "ref", "kind", "observed_at", *CONTENT)
SMALL = 1000
OfferRow = tuple[Any, ...]  # values of COLUMNS

_join = ", ".join  # column names below are ours, never a caller's
STAGE = f"""
    DROP TABLE IF EXISTS pg_temp.incoming, pg_temp.differing;
    CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {_join(COLUMNS)} FROM marketplace_offer WITH NO DATA
"""  # noqa: S608
COPY = f"COPY pg_temp.incoming ({_join(COLUMNS)}) FROM STDIN"
FIND_DIFFERING = f"""
    CREATE TEMP TABLE differing ON COMMIT DROP AS
    SELECT coalesce(o.id, i.id) AS id, i.ref, i.kind, o.id IS NULL AS is_new,
           o.id IS NULL OR o.price_per_hour / o.gpu_count <> i.price_per_hour / i.gpu_count AS price_differs
    FROM pg_temp.incoming i
    LEFT JOIN marketplace_offer o
      ON o.provider_id = %(provider)s AND o.source = %(source)s AND o.ref = i.ref AND o.kind = i.kind
    WHERE o.id IS NULL OR o.withdrawn_at IS NOT NULL OR NOT o.listed
       OR ({_join(f"o.{name}" for name in CONTENT)}) IS DISTINCT FROM ({_join(f"i.{name}" for name in CONTENT)})
"""  # noqa: S608
COUNT_DIFFERING = """
    SELECT count(*), count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE price_differs) FROM pg_temp.differing
"""
# What a listing leaves out is withdrawn; after a faulty listing it is only marked, until it was not named for a while.
FIND_UNNAMED = """
    CREATE TEMP TABLE unnamed ON COMMIT DROP AS
    SELECT o.id, %(complete)s OR o.observed_at < %(keep_since)s AS withdraw
    FROM marketplace_offer o
    WHERE o.provider_id = %(provider)s AND o.source = %(source)s AND o.withdrawn_at IS NULL
      AND (o.listed OR %(complete)s OR o.observed_at < %(keep_since)s)
      AND NOT EXISTS (SELECT FROM pg_temp.incoming i WHERE i.ref = o.ref AND i.kind = o.kind)
"""
COUNT_UNNAMED = "SELECT count(*), count(*) FILTER (WHERE withdraw) FROM pg_temp.unnamed"
NEXT_VERSION = """
    INSERT INTO marketplace_marketversion (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = marketplace_marketversion.version + 1 RETURNING version
"""
WRITE_NEW = f"""
    INSERT INTO marketplace_offer
      ({_join(COLUMNS)}, provider_id, source, first_seen_at, listed, withdrawn_at, version)
    SELECT {_join(f"i.{name}" for name in COLUMNS)}, %(provider)s, %(source)s, i.observed_at, true, NULL, %(version)s
    FROM pg_temp.incoming i JOIN pg_temp.differing d ON d.ref = i.ref AND d.kind = i.kind
    WHERE d.is_new ORDER BY i.ref
"""  # noqa: S608
WRITE_CHANGED = f"""
    UPDATE marketplace_offer o
    SET {_join(f"{name} = i.{name}" for name in CONTENT)},
        observed_at = i.observed_at, listed = true, withdrawn_at = NULL, version = %(version)s
    FROM pg_temp.incoming i JOIN pg_temp.differing d ON d.ref = i.ref AND d.kind = i.kind
    WHERE o.id = d.id AND NOT d.is_new
"""  # noqa: S608
WRITE_PRICES = """
    INSERT INTO marketplace_pricepoint (offer_id, provider_id, gpu_id, kind, region, price_per_gpu_hour, at, source)
    SELECT d.id, %(provider)s, i.gpu_id, i.kind, i.region, round(i.price_per_hour / i.gpu_count, 6),
           i.observed_at, %(source)s
    FROM pg_temp.incoming i JOIN pg_temp.differing d ON d.ref = i.ref AND d.kind = i.kind
    WHERE d.price_differs
"""
TOUCH_SAME = """
    UPDATE marketplace_offer o SET observed_at = i.observed_at
    FROM pg_temp.incoming i
    WHERE o.provider_id = %(provider)s AND o.source = %(source)s AND o.ref = i.ref AND o.kind = i.kind
      AND o.observed_at < i.observed_at
      AND NOT EXISTS (SELECT FROM pg_temp.differing d WHERE d.ref = i.ref AND d.kind = i.kind)
"""
WRITE_UNNAMED = """
    UPDATE marketplace_offer o
    SET listed = false, withdrawn_at = CASE WHEN u.withdraw THEN %(at)s::timestamptz END, version = %(version)s
    FROM pg_temp.unnamed u WHERE o.id = u.id
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch changed. `version` is None when it changed nothing."""

    version: int | None
    seen: int
    new: int
    changed: int
    price_changes: int
    withdrawn: int


def write_offers(
    provider: str,
    source: str,
    rows: Iterable[OfferRow],
    *,
    at: datetime,
    complete: bool,
    keep_since: datetime,
    withdraw_unnamed: bool = True,
    keep_prices: bool = True,
) -> Written:
    """Store one listing; (ref, kind) must be unique in it. One transaction, one writer at a time for each provider.

    `complete` withdraws what is not named; otherwise that is marked unlisted, and withdrawn when it was last seen before
    `keep_since`. `withdraw_unnamed=False` leaves everything else alone: the rows are a part of the provider's offers.
    """
    facts: dict[str, Any] = {
        "provider": provider,
        "source": source,
        "at": at,
        "complete": complete,
        "keep_since": keep_since,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('marketplace.offers'), hashtext(%s))", [provider])
        seen = _stage(cursor, rows)
        new, changed, price_changes = _find_differing(cursor, facts)
        unnamed, withdrawn = _find_unnamed(cursor, facts) if withdraw_unnamed else (0, 0)
        if seen > new + changed:
            cursor.execute(TOUCH_SAME, facts)
        version = None
        if new or changed or unnamed:
            cursor.execute(NEXT_VERSION)
            version = cursor.fetchone()[0]
            for statement, needed in (
                (WRITE_NEW, new),
                (WRITE_CHANGED, changed),
                (WRITE_PRICES, price_changes if keep_prices else 0),
                (WRITE_UNNAMED, unnamed),
            ):
                if needed:
                    cursor.execute(statement, facts | {"version": version})
    return Written(version, seen, new, changed, price_changes, withdrawn)


def _stage(cursor: Any, rows: Iterable[OfferRow]) -> int:
    cursor.execute(STAGE)
    count = 0
    with cursor.copy(COPY) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    _tell_planner(cursor, "incoming (ref, kind)", count)
    return count


def _tell_planner(cursor: Any, columns: LiteralString, rows: int) -> None:
    """Nobody analyses temporary tables for us, and large ones need another plan than small ones. It is enough to know
    the columns that are joined."""
    if rows > SMALL:
        cursor.execute(f"ANALYZE pg_temp.{columns}")


def _find_differing(cursor: Any, facts: dict[str, Any]) -> tuple[int, int, int]:
    cursor.execute(FIND_DIFFERING, facts)
    cursor.execute(COUNT_DIFFERING)
    differing, new, price_changes = cursor.fetchone()
    _tell_planner(cursor, "differing (ref, kind, is_new)", differing)
    return new, differing - new, price_changes


def _find_unnamed(cursor: Any, facts: dict[str, Any]) -> tuple[int, int]:
    cursor.execute("DROP TABLE IF EXISTS pg_temp.unnamed")
    cursor.execute(FIND_UNNAMED, facts)
    cursor.execute(COUNT_UNNAMED)
    unnamed, withdrawn = cursor.fetchone()
    return unnamed, withdrawn
