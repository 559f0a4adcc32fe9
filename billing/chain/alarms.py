"""What a person must look at."""

from __future__ import annotations

import logging

from accounts.models import User
from billing.models import ChainAlarm, Deposit, Withdrawal
from lib.clock import now

log = logging.getLogger(__name__)


def raise_alarm(chain: str, kind: ChainAlarm.Kind, subject: Deposit | Withdrawal, detail: str) -> None:
    """Once for each kind and subject until somebody has resolved it."""
    _alarm, made = ChainAlarm.objects.get_or_create(
        kind=kind, subject=subject.public_id, resolved_at=None, defaults={"chain": chain, "detail": detail[:300]}
    )
    if made:
        log.error("chain %s: %s %s: %s", chain, kind, subject.public_id, detail)


def resolve(alarm: ChainAlarm, person: User) -> bool:
    """False when somebody was first."""
    open_ = ChainAlarm.objects.filter(pk=alarm.pk, resolved_at=None)
    return bool(open_.update(resolved_at=now(), resolved_by=person))
