"""The inbox, and in SANDBOX the mailbox."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.requests import Request
from lib.ids import decode_id
from notifications.inbox import mark_read, messages_of, unread_count
from notifications.mailbox import has_asked_mail, own_addresses, own_mail, take_asked_mail
from notifications.models import Notification

PER_PAGE = 30


@require_GET
def show_inbox(request: Request) -> HttpResponse:
    person = require_person(request.actor)
    page = Paginator(messages_of(person), PER_PAGE).get_page(request.GET.get("page"))
    template = "notifications/_inbox.html" if request.headers.get("HX-Request") else "notifications/inbox.html"
    context = {"page": page, "unread": unread_count(person), "live_path": "/ws/notifications/"}
    return render(request, template, context)


@require_POST
def read_all(request: Request) -> HttpResponse:
    mark_read(require_person(request.actor))
    return redirect("notifications:inbox")


@require_POST
def open_message(request: Request, message_id: str) -> HttpResponse:
    """Mark one as read and go where it points."""
    person = require_person(request.actor)
    row = get_object_or_404(Notification, pk=decode_id("ntf", message_id), user=person)
    mark_read(person, ids=[row.pk])
    inside = url_has_allowed_host_and_scheme(row.url, allowed_hosts={request.get_host()})
    return redirect(row.url if row.url and inside else "notifications:inbox")


@require_GET
@never_cache
def show_mailbox(request: Request) -> HttpResponse:
    """One's own mail of the sandbox, before signing in too. In LIVE there is no such page."""
    if not settings.SANDBOX:
        raise Http404
    context = {
        "addresses": own_addresses(request),
        "mails": own_mail(request)[:50],
        "has_asked": has_asked_mail(request),
    }
    return render(request, "notifications/mailbox.html", context)


@require_POST
@never_cache
def read_asked_mail(request: Request) -> HttpResponse:
    """The message that this browser has just asked for, once."""
    if not settings.SANDBOX:
        raise Http404
    return render(request, "notifications/mailbox.html", {"mails": take_asked_mail(request), "asked": True})
