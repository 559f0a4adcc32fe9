"""`python -m tests.crash.runner`: lives that may be killed, each in a process of its own, forked from this one.

It reads a job a line, {"flow", "facts", "kill_at", "journal"}, and answers a line with the exit status. Nothing is open
yet when it forks: a life has its own connections. What a life has to load it tells before it ends, and the next ones
find it loaded: they begin in milliseconds.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn


def main() -> None:
    import django
    from django.conf import settings

    django.setup()
    _load()
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]  # how the test client calls us
    settings.WHITENOISE_AUTOREFRESH = True  # as in tests/conftest.py
    print("ready", flush=True)
    for line in sys.stdin:
        gc.freeze()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _live(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            loaded_late = told.read().split()
        _pid, status = os.waitpid(child, 0)
        for module in loaded_late:
            with suppress(ImportError):
                importlib.import_module(module)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _load() -> None:
    from django.test import Client
    from django.urls import reverse

    from config.celery import app

    importlib.import_module("tests.crash.flows")
    reverse("billing:home")  # loads the routes
    Client().handler.load_middleware()  # and what middleware imports
    app.finalize()


def _live(job: dict[str, Any], parent: int) -> NoReturn:
    from tests.crash.failpoints import Fuse, arm
    from tests.crash.flows import FLOWS

    known = set(sys.modules)

    def tell() -> None:
        os.write(parent, " ".join(sys.modules.keys() - known).encode())

    try:
        journal = os.open(job["journal"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        arm(Fuse(journal, job["kill_at"], last_words=tell))
        FLOWS[job["flow"]].act(job["facts"])
        tell()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
