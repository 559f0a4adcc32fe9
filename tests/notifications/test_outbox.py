"""A mail is a row of its sender's transaction: no death and no trouble of the mail service loses it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections, transaction
from django.db.models import F
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from lib.mail import Attachment, send
from notifications import delivery, tasks
from notifications.delivery import deliver_due
from notifications.models import Mail
from notifications.states import MailStatus
from tests.notifications.outbox import use_service
from tests.notifications.smtp import ACCEPTS, HANGS, REFUSES, TAKES_AND_HANGS, MailServer, mail_server
from tests.patience import PATIENCE_S
from tests.people import Person

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "http://testserver/invitation/a-key-that-opens-an-account/"
FILE = Attachment("a.pdf", b"%PDF-1.4 bytes", "application/pdf")


@pytest.fixture
def service(settings: Any) -> Iterator[MailServer]:
    with mail_server() as server:
        use_service(settings, server.port)
        yield server


def write(to: str = "ana@example.com") -> Mail:
    send(to, "accounts/mail/invitation", {"url": SECRET, "days": 7}, attachments=[FILE])
    return Mail.objects.get(to=to)


def deliver_elsewhere(act: Callable[[], int] = deliver_due) -> int:
    """By a thread's own connection."""
    try:
        return act()
    finally:
        connections.close_all()


def let_time_pass(hours: float = 1) -> None:
    """For what waits, and for leases."""
    span = timedelta(hours=hours)
    Mail.objects.update(due_at=F("due_at") - span, lease_until=F("lease_until") - span)


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def live(service: MailServer, what: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.notifications.lives", str(service.port), what])


def test_the_service_gets_all_of_it_and_we_keep_none(service: MailServer) -> None:
    row = write()
    assert row.status == MailStatus.WAITING
    assert deliver_due() == 1
    [mail] = service.received
    assert (mail["To"], mail["X-Mail-ID"]) == ("ana@example.com", row.public_id)
    assert SECRET in text_of(mail)
    html = mail.get_body(("html",))
    assert html is not None
    assert SECRET in html.get_content()
    assert [part.get_content() for part in mail.iter_attachments()] == [FILE.content]
    row.refresh_from_db()
    assert (row.status, row.text, row.html, row.attachments) == (MailStatus.SENT, "", "", [])
    assert row.sent_at is not None
    assert deliver_due() == 0


def test_what_is_rolled_back_is_not_sent(service: MailServer) -> None:
    with transaction.atomic():
        write()
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(deliver_elsewhere).result() == 0
        transaction.set_rollback(True)
    assert (deliver_due(), service.calls) == (0, 0)


def test_a_death_before_the_hint_loses_nothing(service: MailServer) -> None:
    assert live(service, "write").wait(PATIENCE_S) == -signal.SIGKILL
    assert deliver_due() == 1
    assert len(service.received) == 1


@pytest.mark.parametrize("mood", [REFUSES, HANGS])
def test_a_service_in_trouble_gets_it_later(service: MailServer, settings: Any, mood: str) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    service.mood = mood
    row = write()
    assert deliver_due() == 0
    row.refresh_from_db()
    assert (row.status, row.failures, bool(row.last_error)) == (MailStatus.WAITING, 1, True)
    assert SECRET in row.text
    service.mood = ""
    let_time_pass()
    assert deliver_due() == 1
    assert len(service.received) == 1


@pytest.mark.parametrize(("mood", "copies"), [(HANGS, 1), (TAKES_AND_HANGS, 2)])
def test_a_worker_killed_over_it(service: MailServer, mood: str, copies: int) -> None:
    """Whether the service took it the next worker cannot know: then it goes again, and can be recognised."""
    service.mood = mood
    write()
    worker = live(service, "deliver")
    assert service.hangs.wait(PATIENCE_S)
    worker.kill()
    worker.wait(PATIENCE_S)
    service.mood = ""
    assert deliver_due() == 0, "until the lease is over it is the first worker's"
    let_time_pass()
    assert deliver_due() == 1
    assert len(service.received) == copies
    assert len({mail["Message-ID"] for mail in service.received}) == 1


def test_two_workers_send_each_once(service: MailServer) -> None:
    for number in range(12):
        write(f"reader-{number}@example.com")
    with ThreadPoolExecutor(2) as threads:
        taken = sum(future.result() for future in [threads.submit(deliver_elsewhere) for _worker in range(2)])
    assert taken == 12
    assert len({mail["To"] for mail in service.received}) == len(service.received) == 12


def test_no_mail_waits_for_many_that_fail(service: MailServer) -> None:
    """A service that is away is not asked for each of them in one run."""
    service.mood = REFUSES
    for number in range(5):
        write(f"reader-{number}@example.com")
    deliver_due()
    assert service.calls == delivery.AWAY_AFTER


def test_a_service_that_hangs_holds_two_workers(service: MailServer) -> None:
    service.mood = HANGS
    for number in range(4):
        write(f"reader-{number}@example.com")
    with ThreadPoolExecutor(2) as threads:
        held = []
        for _worker in range(2):
            service.hangs.clear()
            held.append(threads.submit(deliver_elsewhere, delivery.take_turn))
            assert service.hangs.wait(PATIENCE_S)
        assert (delivery.take_turn(), service.calls) == (0, 2)
        service.mood = ACCEPTS
        service.closing.set()
        assert sum(each.result() for each in held) == 2
    let_time_pass()
    assert delivery.take_turn() == 2


def test_a_service_that_is_away_rests(service: MailServer) -> None:
    service.mood = REFUSES
    for number in range(delivery.AWAY_AFTER):
        write(f"reader-{number}@example.com")
    delivery.take_turn()
    service.mood = ACCEPTS
    let_time_pass()
    assert (delivery.take_turn(), service.calls) == (0, delivery.AWAY_AFTER)
    cache.delete(delivery.AWAY_KEY)
    assert delivery.take_turn() == delivery.AWAY_AFTER


def test_what_is_committed_stands_without_a_broker(service: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any, **_options: Any) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.deliver_mail, "apply_async", away)
    with transaction.atomic():
        write()
    assert deliver_due() == 1


def test_staff_see_what_failed_but_not_what_it_says(service: MailServer, staff: Person) -> None:
    service.mood = REFUSES
    row = write()
    for _try in range(delivery.MOST_TRIES):
        deliver_due()
        let_time_pass()
    row.refresh_from_db()
    assert (row.status, row.failures, service.calls) == (MailStatus.FAILED, 18, 18)
    page = staff.client.get(f"/admin/notifications/mail/{row.pk}/change/").content.decode()
    assert "451" in page
    assert SECRET not in page
    service.mood = ""
    form = {"action": "try_again", "_selected_action": [str(row.pk)]}
    assert "Tried again: 1." in staff.client.post("/admin/notifications/mail/", form, follow=True).content.decode()
    assert deliver_due() == 1


def test_the_waits_add_up_to_about_six_hours() -> None:
    waits = [min(delivery.LONGEST_WAIT_S, 2.0**failures) for failures in range(delivery.MOST_TRIES - 1)]
    assert timedelta(hours=6) < timedelta(seconds=sum(waits)) < timedelta(hours=6.5)


def test_a_worker_that_wakes_too_late_changes_nothing(service: MailServer) -> None:
    service.mood = TAKES_AND_HANGS
    row = write()
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(deliver_elsewhere)
        assert service.hangs.wait(PATIENCE_S)
        let_time_pass()
        service.mood = ""
        assert deliver_due() == 1
        service.closing.set()
        assert late.result() == 0
    row.refresh_from_db()
    assert (row.status, row.failures) == (MailStatus.SENT, 0)


def test_whom_we_wrote_to_is_forgotten(service: MailServer) -> None:
    old, new = write("old@example.com"), write("new@example.com")
    deliver_due()
    Mail.objects.filter(pk=old.pk).update(created_at=Now() - timedelta(days=31))
    assert delivery.forget_old_mail() == 1
    assert Mail.objects.get() == new
