"""From a request to the enrolment that this person may see: their own, or the one begun in this session."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation import gettext as _

from enrollment.models import Enrolment
from lib.errors import NotFound
from lib.ids import decode_id

SESSION_KEY = "enrolment"


def remember(request: HttpRequest, enrolment: Enrolment) -> None:
    request.session[SESSION_KEY] = enrolment.public_id


def get_enrolment(request: HttpRequest, public_id: str) -> Enrolment:
    """Raises NotFound for those of others, as for unknown ones."""
    rows = Enrolment.objects.select_related("plan", "payment", "organisation", "user", "pod", "config")
    found = rows.filter(pk=decode_id("enr", public_id)).first()
    begun_here = request.session.get(SESSION_KEY) == public_id
    if found is None or not (begun_here or (request.user.is_authenticated and found.user_id == request.user.pk)):
        raise NotFound(_("This does not exist, or it is not yours."))
    return found


def current_enrolment(request: HttpRequest) -> Enrolment:
    """The one begun in this session, else the newest of the person signed in."""
    if public_id := request.session.get(SESSION_KEY):
        return get_enrolment(request, public_id)
    if request.user.is_authenticated:
        newest = Enrolment.objects.filter(user=request.user).order_by("-pk").first()
        if newest is not None:
            return get_enrolment(request, newest.public_id)
    raise NotFound(_("There is no enrolment here: choose a plan first."))
