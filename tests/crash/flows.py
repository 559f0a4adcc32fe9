"""All flows that are killed, by name."""

from __future__ import annotations

from tests.crash import chain, claims, credits, dunning, enrolments, payments, payouts, paypal_plans, plans
from tests.crash.flow import Flow

MODULES = (payments, enrolments, plans, dunning, paypal_plans, credits, payouts, claims, chain)
FLOWS: dict[str, Flow] = {flow.name: flow for module in MODULES for flow in module.FLOWS}
