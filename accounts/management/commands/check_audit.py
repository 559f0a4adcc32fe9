from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit import verify_chain
from accounts.models import AuditEntry, Organisation


class Command(BaseCommand):
    help = "Verify the hash chain of every organisation's audit log."

    def handle(self, *args: Any, **options: Any) -> None:
        checked, problems = 0, 0
        for organisation_id in Organisation.objects.values_list("pk", flat=True).iterator():
            for problem in verify_chain(organisation_id):
                self.stderr.write(problem)
                problems += 1
            checked += 1
        if problems:
            raise CommandError(f"{problems} problems in the audit logs of {checked} organisations")
        self.stdout.write(f"{AuditEntry.objects.count()} entries of {checked} organisations are whole")
