"""Beats in memory, leases in PostgreSQL: one batched statement a second, whatever the number of nodes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from lib.ids import new_id

# A flush that comes this much later than the last one was not steady: beats may have been missed by us.
LONGEST_GAP_S = 2.5

FLUSH_NODES = """
UPDATE catalyst_node AS node
   SET last_beat_at = clock_timestamp() - beat.age * interval '1 second',
       lease_until = clock_timestamp() + (%(lease)s - beat.age) * interval '1 second',
       gauges = beat.gauges::jsonb
  FROM unnest(%(ids)s::uuid[], %(ages)s::float8[], %(gauges)s::text[]) AS beat(id, age, gauges)
 WHERE node.id = beat.id
"""
FLUSH_INGEST = """
INSERT INTO catalyst_beatingest (id, steady_since, beat_at) VALUES (%(id)s, clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE
   SET beat_at = clock_timestamp(),
       steady_since = CASE WHEN %(gap)s THEN clock_timestamp() ELSE catalyst_beatingest.steady_since END
"""
FORGET_INGESTS = "DELETE FROM catalyst_beatingest WHERE beat_at < clock_timestamp() - interval '1 hour'"


@dataclass(slots=True)
class Seen:
    at: float  # this process's monotonic clock
    gauges: dict[str, Any]


@dataclass(slots=True)
class Ingest:
    """What this process heard since its last flush."""

    id: UUID = field(default_factory=new_id)
    seen: dict[UUID, Seen] = field(default_factory=dict)
    flushed_at: float | None = None

    def hear(self, node_id: UUID, gauges: dict[str, Any]) -> None:
        self.seen[node_id] = Seen(time.monotonic(), gauges)

    def flush(self) -> int:
        """Write what was heard. Returns the number of nodes; on an error the beats are kept for the next flush."""
        heard, self.seen = self.seen, {}
        started = time.monotonic()
        gap = self.flushed_at is None or started - self.flushed_at > LONGEST_GAP_S
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if heard:
                    cursor.execute(FLUSH_NODES, _columns(heard, started))
                cursor.execute(FLUSH_INGEST, {"id": self.id, "gap": gap})
                if gap:
                    cursor.execute(FORGET_INGESTS)
        except Exception:
            self.seen = heard | self.seen
            raise
        self.flushed_at = started
        return len(heard)


def _columns(heard: dict[UUID, Seen], at: float) -> dict[str, Any]:
    return {
        "lease": settings.NODE_LEASE_SECONDS,
        "ids": list(heard),
        "ages": [at - seen.at for seen in heard.values()],
        "gauges": [json.dumps(seen.gauges) for seen in heard.values()],
    }
