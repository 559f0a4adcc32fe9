"""Print a one-time token with which a machine enrols as a node."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import Organisation
from catalyst.nodes import make_token
from lib.errors import NotFound
from lib.ids import decode_id


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="the node's name")
        parser.add_argument("--local", action="store_true", help="a node on the machine of this installation")
        parser.add_argument("--organisation", help="whose machine it is, as org_…; without it, this installation's own")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = _find(options["organisation"]) if options["organisation"] else None
        self.stdout.write(make_token(name=options["name"], organisation=organisation, is_local=options["local"]))


def _find(public_id: str) -> Organisation:
    try:
        return Organisation.objects.get(pk=decode_id("org", public_id))
    except (NotFound, Organisation.DoesNotExist) as problem:
        raise CommandError(f"There is no organisation {public_id}.") from problem
