"""Print a one-time token with which a machine enrols as a node."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from catalyst.nodes import make_token


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="the node's name")
        parser.add_argument("--local", action="store_true", help="a node on the machine of this installation")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(make_token(name=options["name"], is_local=options["local"]))
