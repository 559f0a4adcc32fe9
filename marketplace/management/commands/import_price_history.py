from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketplace.imports.files import Summary
from marketplace.imports.history import import_price_history


class Command(BaseCommand):
    help = "Import a price history (CSV or .csv.gz); an earlier import is replaced."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)

    def handle(self, *, path: Path, **options: Any) -> None:
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        summary, started = Summary(), time.monotonic()
        for line in import_price_history(path, summary):
            self.stdout.write(line)
        for line in summary.lines():
            self.stdout.write(line)
        self.stdout.write(f"{time.monotonic() - started:.1f} s")
