"""`python -m tests.notifications.lives PORT write|deliver`: a process that dies over a mail.

`write` ends itself between the commit and the hint; `deliver` hands over what is due, and is killed by the test.
"""

from __future__ import annotations

import os
import signal
import sys


def main(port: int, what: str) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.db import transaction

    from notifications.delivery import deliver_due
    from notifications.mail import send
    from tests.notifications.outbox import use_service

    use_service(settings, port)
    if what == "deliver":
        deliver_due()
        return
    with transaction.atomic():
        transaction.on_commit(lambda: os.kill(os.getpid(), signal.SIGKILL))
        send("ana@example.com", "accounts/mail/invitation", {"url": "http://testserver/x/", "days": 7})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
