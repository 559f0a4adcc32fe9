"""The settings of a person: who they are and how they sign in."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.adapter import get_adapter as get_social_adapter
from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import actor as actors
from accounts import on_behalf, tokens
from accounts.access import get_organisation, require_person
from accounts.forms import OrganisationForm, ProfileForm
from accounts.middleware import choose_organisation
from accounts.models import ApiSignIn, Organisation
from accounts.requests import Request
from accounts.roles import Permission
from lib.clock import now
from lib.errors import Forbidden, NotFound
from lib.ids import decode_id


@require_http_methods(["GET", "POST"])
def show_account(request: Request) -> HttpResponse:
    person = require_person(request.actor)
    form = ProfileForm(request.POST or None, instance=person)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("accounts:account")
    context = {"form": form, "new_form": OrganisationForm(auto_id="new_%s")}
    return render(request, "accounts/account.html", context, status=422 if form.errors else 200)


@require_GET
def show_security(request: Request) -> HttpResponse:
    person = require_person(request.actor)
    live = ApiSignIn.objects.filter(user=person, revoked_at=None, expires_at__gt=now()).order_by("-refreshed_at")
    context = {
        "addresses": EmailAddress.objects.filter(user=person).order_by("-primary", "email"),
        "has_mfa": is_mfa_enabled(person),
        "has_password": person.has_usable_password(),
        "services": get_social_adapter().list_providers(request),
        "sign_ins": live[:50],
    }
    return render(request, "accounts/security.html", context)


@require_POST
def end_sign_in(request: Request, sign_in_id: str) -> HttpResponse:
    person = require_person(request.actor)
    tokens.end(get_object_or_404(ApiSignIn, pk=decode_id("sgn", sign_in_id), user=person))
    messages.success(request, _("This sign-in has ended."))
    return redirect("accounts:security")


@require_POST
def switch_organisation(request: Request) -> HttpResponse:
    """Work in another of one's organisations from now on."""
    own = actors.user(require_person(request.actor))
    organisation = get_organisation(own, request.POST.get("organisation", ""), Permission.SEE_MEMBERS)
    choose_organisation(request.session, organisation)
    return HttpResponseRedirect(_following(request))  # `redirect` would look for a page of this name


@require_POST
def begin_acting(request: Request) -> HttpResponse:
    """Staff: work on behalf of a customer until told otherwise. It stands in the customer's audit log."""
    person = require_person(request.actor)
    if not on_behalf.may_act(person):
        raise Forbidden(_("You are not allowed to do this."))
    wanted = decode_id("org", request.POST.get("organisation", ""))
    organisation = Organisation.objects.filter(pk=wanted, archived_at=None).first()
    if organisation is None:
        raise NotFound(_("There is no such organisation."))
    on_behalf.begin(request.session, person, organisation)
    return redirect("/")


@require_POST
def end_acting(request: Request) -> HttpResponse:
    require_person(request.actor)
    on_behalf.end(request.session)
    return redirect("/")


def _following(request: Request) -> str:
    following = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()})
    return following if following and safe else "/"
