"""`manage.py check_ledger`: exit 1 with the problems listed when the books do not balance."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand

from billing.book_checks import check_books
from billing.models import Transfer


class Command(BaseCommand):
    help = (
        "Compare accounts with transfers, lots of credits with accounts, the clearing accounts with the payments, and the "
        "dollars and USDC of the conversion with the payouts."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        problems = list(chain.from_iterable(check_books().values()))
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            sys.exit(1)
        self.stdout.write(f"The ledger balances: {Transfer.objects.count()} transfers.")
