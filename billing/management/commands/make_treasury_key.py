"""`manage.py make_treasury_key`: once, before a LIVE installation takes USDC."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from billing.chain.signer import KeyFileSigner


class Command(BaseCommand):
    help = "Make the key that signs withdrawals of USDC, and say its address. Keep a copy of the file."

    def handle(self, *_args: Any, **_options: Any) -> None:
        if settings.CHAIN_KEY_FILE.exists():
            raise CommandError(f"{settings.CHAIN_KEY_FILE} is there already: it is never made anew.")
        self.stdout.write(f"{KeyFileSigner(str(settings.CHAIN_KEY_FILE), may_make=True).address}")
        self.stdout.write(f"Its key is in {settings.CHAIN_KEY_FILE}: keep a copy in a safe place.")
