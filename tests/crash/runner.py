"""`python -m tests.crash.runner`: lives that may be killed, each in a process of its own, forked from this one.

It reads a job a line, {"flow", "facts", "kill_at", "journal"}, and answers a line with the exit status. Everything is
loaded before, and nothing is open yet: a life has its own connections and begins in milliseconds.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from typing import Any, NoReturn

# The product loads these when it first needs them.
LOADED_LATE = (
    "billing.chain.client",
    "billing.invoice_pdf",
    "billing.payments.stripe.adapter",
    "billing.payments.stripe.renewals",
    "tests.crash.flows",
)


def main() -> None:
    import django
    from django.conf import settings

    django.setup()
    _load()
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]  # how the test client calls us
    settings.WHITENOISE_AUTOREFRESH = True  # as in tests/conftest.py
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(job)
        _pid, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _load() -> None:
    from django.test import Client
    from django.urls import reverse

    for module in LOADED_LATE:
        importlib.import_module(module)
    reverse("billing:home")  # loads the routes
    Client().handler.load_middleware()  # and what middleware imports


def _live(job: dict[str, Any]) -> NoReturn:
    from tests.crash.failpoints import Fuse, arm
    from tests.crash.flows import FLOWS

    try:
        journal = os.open(job["journal"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        arm(Fuse(journal, job["kill_at"]))
        FLOWS[job["flow"]].act(job["facts"])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
