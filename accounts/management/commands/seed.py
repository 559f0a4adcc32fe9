from __future__ import annotations

from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.utils.module_loading import module_has_submodule


class Command(BaseCommand):
    help = "Add the reference data of every app that has some. Running it again changes nothing that is there."

    def handle(self, *args: Any, **options: Any) -> None:
        # INSTALLED_APPS stands in the order of dependence: an app comes after those that it builds on.
        for config in apps.get_app_configs():
            if config.module is not None and module_has_submodule(config.module, "seeds"):
                import_module(f"{config.name}.seeds").seed()
                self.stdout.write(f"seeded {config.name}")
