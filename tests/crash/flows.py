"""All flows that are killed, by name."""

from __future__ import annotations

from tests.crash import chain, claims, credits, payments, plans
from tests.crash.flow import Flow

MODULES = (payments, plans, credits, claims, chain)
FLOWS: dict[str, Flow] = {flow.name: flow for module in MODULES for flow in module.FLOWS}
