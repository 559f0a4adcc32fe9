"""The outbox: each mail is a row of its sender's transaction, and is handed to the mail service after the commit.

At least once: a worker that dies after the service took a mail, and before the row says so, leaves it to the next one.
Both carry the same Message-ID, by which a mailbox may know the second, and the same X-Mail-ID: Amazon SES writes its own
Message-ID over ours.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from datetime import timedelta
from email.utils import parseaddr
from time import monotonic

from django.conf import settings
from django.core.cache import cache
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models.functions import Now

from lib.clock import now
from lib.leases import claim_due, release_failed
from lib.turns import turn
from notifications.lifecycle import switch_mail
from notifications.models import Mail
from notifications.states import MailStatus

log = logging.getLogger(__name__)
# Longer than a service takes that answers each command at the last moment (settings.EMAIL_TIMEOUT).
LEASE_S = 300
LONGEST_RUN_S = 45  # the next tick goes on
MOST_RUNS = 2  # at once
AWAY_AFTER = 3  # failures in a row: then it is the service, and no other mail has to wait for it
AWAY_KEY, REST_S = "mail:away", 30
MOST_TRIES, LONGEST_WAIT_S = 18, 3600.0  # after 1, 2, 4 … seconds, at most an hour apart: for about six hours
REMEMBERED = timedelta(days=30)


def take_turn() -> int:
    """Hand over what is due, unless enough others do so, or the service was away a moment ago: one that hangs must not
    hold all workers. Returns how many it took."""
    for slot in range(MOST_RUNS):
        with turn(f"mail:{slot}") as ours:
            if ours:
                return 0 if cache.get(AWAY_KEY) else deliver_due()
    return 0


def deliver_due() -> int:
    """Hand over what is due, the longest waiting first. Returns how many the service took."""
    taken, failed, until = 0, 0, monotonic() + LONGEST_RUN_S
    while settings.EMAIL_SERVICE_BACKEND and failed < AWAY_AFTER and monotonic() < until:
        claimed = claim_due(Mail.objects.filter(status=MailStatus.WAITING), limit=1, seconds=LEASE_S)
        if not claimed:
            break
        if _deliver(claimed[0]):
            taken, failed = taken + 1, 0
        else:
            failed += 1
    if failed >= AWAY_AFTER:
        cache.set(AWAY_KEY, 1, REST_S)
    return taken


def try_again(mail: Mail) -> bool:
    """One that failed waits once more, with all its tries; False when it does so already."""
    return switch_mail(mail, MailStatus.WAITING, failures=0, due_at=Now())


def forget_old_mail() -> int:
    """Whom we wrote to is nobody's business for ever. Returns how many are forgotten."""
    old = Mail.objects.filter(status__in=(MailStatus.SENT, MailStatus.FAILED), created_at__lt=now() - REMEMBERED)
    return old.delete()[0]


def _deliver(mail: Mail) -> bool:
    try:
        _hand_over(mail)
    except Exception as failure:  # whatever the mail service of settings raises
        log.warning("mail %s is not sent: %r", mail.public_id, failure)
        _note_failure(mail, f"{type(failure).__name__}: {failure}")
        return False
    # What was in it may open an account: from here on its reader alone has it.
    if not switch_mail(mail, MailStatus.SENT, text="", html="", attachments=[], sent_at=now(), last_error=""):
        log.warning("mail %s took longer than its lease: it may have gone twice", mail.public_id)
    return True


def _note_failure(mail: Mail, error: str) -> None:
    if mail.failures + 1 < MOST_TRIES:
        release_failed(mail, error, longest=LONGEST_WAIT_S)
    elif switch_mail(mail, MailStatus.FAILED, failures=MOST_TRIES, last_error=error[:2000]):
        log.error("mail %s is given up: %s", mail.public_id, error)


def _hand_over(mail: Mail) -> None:
    message = EmailMultiAlternatives(
        mail.subject,
        mail.text,
        mail.sender,
        [mail.to],
        headers={"Message-ID": _message_id(mail), "X-Mail-ID": mail.public_id},
        connection=get_connection(settings.EMAIL_SERVICE_BACKEND),
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    for file in mail.attachments:
        message.attach(file["name"], b64decode(file["content"]), file["kind"])
    message.send()


def _message_id(mail: Mail) -> str:
    """The same each time."""
    domain = parseaddr(mail.sender)[1].rpartition("@")[2]
    return f"<{mail.pk.hex}@{domain or settings.PUBLIC_HOST}>"
