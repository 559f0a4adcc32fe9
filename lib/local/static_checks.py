"""Checks without a database: every model has its migration, production settings pass `check --deploy`, every sentence its Spanish."""

from __future__ import annotations

import os
import tempfile
import warnings

from lib.local import messages

PRODUCTION = {
    "MODE": "LIVE",
    "PUBLIC_URL": "https://gpubroker.example",
    "DJANGO_SETTINGS_MODULE": "config.settings",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as state_dir:
        os.environ.update(PRODUCTION, STATE_DIR=state_dir)
        import django
        from django.core.management import call_command

        django.setup()
        # There is no server to compare with here; `make run` and the tests migrate real ones.
        warnings.filterwarnings("ignore", "Got an error checking a consistent migration history", RuntimeWarning)
        call_command("makemigrations", check_changes=True, dry_run=True)
        call_command("check", deploy=True, fail_level="WARNING")
    if missing := messages.problems():
        raise SystemExit("\n".join([*missing, "Run `manage.py messages extract` and translate what is empty."]))


if __name__ == "__main__":
    main()
