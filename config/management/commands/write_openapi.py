from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from config.openapi import SNAPSHOT, write_snapshot


class Command(BaseCommand):
    help = "Write docs/openapi.json, the description of the API that programs are built against."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        write_snapshot()
        self.stdout.write(f"wrote {SNAPSHOT}")
