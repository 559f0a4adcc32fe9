"""`manage.py check_ledger`: exit 1 with the problems listed when the books do not balance."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from billing import ledger, lots
from billing.models import Transfer
from billing.reconcile import check_clearing


class Command(BaseCommand):
    help = (
        "Compare accounts with transfers, lots of credits with accounts, and the clearing accounts with the payments."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        problems = [*ledger.check(), *lots.check(), *check_clearing()]
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            sys.exit(1)
        self.stdout.write(f"The ledger balances: {Transfer.objects.count()} transfers.")
