from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lib.local import messages


class Command(BaseCommand):
    help = "Keep the Spanish catalogue: extract the sentences, compile their translations, check that none is missing."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=("extract", "compile", "check"))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if what == "extract":
            messages.update_catalogue()
        if what == "compile":
            messages.compile_catalogue()
            return
        self._report(fail=what == "check")

    def _report(self, *, fail: bool) -> None:
        problems = messages.problems()
        for problem in problems:
            self.stdout.write(problem)
        if problems and fail:
            raise CommandError(f"{len(problems)} sentences to translate in {messages.CATALOGUE}; begin with `extract`.")
        if not problems:
            self.stdout.write("Every sentence is translated.")
