"""All flows that are killed, by name."""

from __future__ import annotations

from tests.crash import credits, payments
from tests.crash.flow import Flow

FLOWS: dict[str, Flow] = {flow.name: flow for flow in (*payments.FLOWS, *credits.FLOWS)}
