from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketplace.imports.catalog import import_catalog
from marketplace.imports.files import Summary


class Command(BaseCommand):
    help = "Import instance catalogues (<provider>.csv or .csv.gz) as offers that are labelled and never rentable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a file, or a folder of files")
        parser.add_argument("--observed-on", help="the day on which the prices were true, YYYY-MM-DD")

    def handle(self, *, path: Path, observed_on: str | None, **options: Any) -> None:
        if not path.exists():
            raise CommandError(f"{path} is not there.")
        try:
            observed_at = datetime.fromisoformat(observed_on).replace(tzinfo=UTC) if observed_on else None
        except ValueError:
            raise CommandError(f"{observed_on} is not a day; write YYYY-MM-DD.") from None
        summary, started = Summary(), time.monotonic()
        for line in import_catalog(path, summary, observed_at):
            self.stdout.write(line)
        for line in summary.lines():
            self.stdout.write(line)
        self.stdout.write(f"{time.monotonic() - started:.1f} s")
