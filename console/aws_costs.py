"""What AWS charges us, by month and service, asked of its Cost Explorer: each question costs $0.01, so answers are kept.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.utils.translation import gettext as _

from lib.clock import now

log = logging.getLogger(__name__)
KEY, KEPT_S, FAILED_S = "aws-costs", 6 * 3600, 300
CONNECT_S, READ_S = 3, 10
MONTHS = 6
MOST_PAGES = 20
METRIC = "UnblendedCost"
NOT_CONFIGURED = "not configured"


@dataclass(frozen=True, slots=True)
class Bill:
    """USD by month and service. `reason`, in AWS's words or ours, why there is none."""

    months: dict[date, dict[str, Decimal]] = field(default_factory=dict)
    reason: str = ""

    @property
    def problem(self) -> str:
        if self.reason == NOT_CONFIGURED:
            return _("AWS is not configured: set AWS_COST_KEY_ID and AWS_COST_SECRET.")
        return _("AWS does not tell now what it costs: %s") % self.reason if self.reason else ""


def is_configured() -> bool:
    return bool(settings.AWS_COST_KEY_ID and settings.AWS_COST_SECRET)


def first_of(day: date, back: int) -> date:
    """The first day of a month, so many before that of `day`."""
    years, month = divmod(day.year * 12 + day.month - 1 - back, 12)
    return date(years, month + 1, 1)


def read() -> Bill:
    """Of the last months, at most six hours old. Never raises: what AWS costs is not why a page would fail."""
    if not is_configured():
        return Bill(reason=NOT_CONFIGURED)
    kept: Bill | None = cache.get(KEY)
    if kept is not None:
        return kept
    bill = _ask()
    cache.set(KEY, bill, FAILED_S if bill.reason else KEPT_S)
    return bill


def _ask() -> Bill:
    from botocore.exceptions import BotoCoreError, ClientError

    months: dict[date, dict[str, Decimal]] = {}
    try:
        for page in _pages():
            for result in page["ResultsByTime"]:
                month = months.setdefault(date.fromisoformat(result["TimePeriod"]["Start"]), {})
                month.update(_by_service(result["Groups"]))
    except (BotoCoreError, ClientError) as failure:
        log.warning("AWS costs: %s", type(failure).__name__)
        return Bill(reason=_reason(failure))
    except (KeyError, ValueError, InvalidOperation):
        log.exception("AWS costs")
        return Bill(reason="BadAnswer")
    return Bill(months)


def _pages() -> Iterator[Any]:
    client, token = _client(), ""
    today = now().date()
    wanted = {
        "TimePeriod": {
            "Start": first_of(today, MONTHS - 1).isoformat(),
            "End": (today + timedelta(days=1)).isoformat(),
        },
        "Granularity": "MONTHLY",
        "Metrics": [METRIC],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    for _number in range(MOST_PAGES):
        page = client.get_cost_and_usage(**wanted, **({"NextPageToken": token} if token else {}))
        yield page
        token = page.get("NextPageToken", "")
        if not token:
            return


def _client() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "ce",
        region_name="us-east-1",  # where Cost Explorer answers for all regions
        endpoint_url=settings.AWS_COST_URL or None,
        aws_access_key_id=settings.AWS_COST_KEY_ID,
        aws_secret_access_key=settings.AWS_COST_SECRET,
        config=Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"total_max_attempts": 1}),
    )


def _by_service(groups: list[Any]) -> dict[str, Decimal]:
    sums = {str(group["Keys"][0])[:80]: Decimal(group["Metrics"][METRIC]["Amount"]) for group in groups}
    return {service: amount for service, amount in sorted(sums.items()) if amount}


def _reason(failure: Exception) -> str:
    """In AWS's own short word, never with what was sent."""
    answer = getattr(failure, "response", None)
    return str(answer["Error"]["Code"])[:60] if answer else type(failure).__name__
