"""The route that estimates a job in compute credits."""

from __future__ import annotations

from typing import Any

from ninja import Router, Schema
from pydantic import Field

from accounts.access import current_organisation
from accounts.requests import Request
from accounts.roles import Permission
from lib.money import money_json
from lib.schemas import Money
from pods import access, job_estimates

router = Router(tags=["billing"])
MOST_BYTES = 10**15


class JobIn(Schema):
    resource: str = Field(max_length=48, description="`cpu`: a slot of a CPU node; a GPU model's slug: one GPU.")
    units: int = Field(1, ge=1, le=64)
    code_bytes: int = Field(0, ge=0, le=MOST_BYTES)
    data_bytes: int = Field(0, ge=0, le=MOST_BYTES)
    config: str | None = Field(None, max_length=40, description="`cfg_…`: earlier runs of this configuration count.")


class RunHistoryOut(Schema):
    runs: int
    median_seconds: float
    p90_seconds: float


class JobOut(Schema):
    credits_per_hour: str
    start_seconds: float
    transfer_seconds: float = Field(description="At 25 MB/s, which is an assumption.")
    history: RunHistoryOut | None
    low: Money | None = Field(description="At the median run time; null while no run is known.")
    high: Money | None = Field(description="At the run time that nine of ten runs keep.")
    lasts_seconds: int = Field(description="How long the present credits would last.")


@router.post("credits/estimate", response=JobOut)
def estimate_job(request: Request, body: JobIn) -> dict[str, Any]:
    """What a job will cost in compute credits, from its rate, its size and its measured history."""
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    config = access.get_config(request.actor, body.config) if body.config else None
    found = job_estimates.estimate_job(
        organisation,
        resource=body.resource,
        units=body.units,
        code_bytes=body.code_bytes,
        data_bytes=body.data_bytes,
        config=config,
    )
    history = found.history
    return {
        "credits_per_hour": f"{found.credits_per_hour:f}",
        "start_seconds": round(found.start_s, 1),
        "transfer_seconds": round(found.transfer_s, 1),
        "history": history and {"runs": history.runs, "median_seconds": history.median_s, "p90_seconds": history.p90_s},
        "low": None if found.low is None else money_json(found.low, "CREDIT"),
        "high": None if found.high is None else money_json(found.high, "CREDIT"),
        "lasts_seconds": found.lasts_s,
    }
