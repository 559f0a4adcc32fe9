"""The settings of an organisation: name, members, invitations, API keys, audit log."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import audit, invitations, keys, organisations
from accounts.access import (
    current_organisation,
    get_invitation,
    get_key,
    get_member,
    own_membership,
    permissions_of,
    require_person,
)
from accounts.forms import InviteForm, KeyForm, OrganisationForm
from accounts.middleware import choose_organisation
from accounts.models import Member, Organisation, User
from accounts.people import make_organisation
from accounts.requests import Request
from accounts.roles import Permission, Role
from lib.errors import AppError
from lib.forms import add_refusal
from lib.rate import limit


@require_http_methods(["GET", "POST"])
def show_organisation(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_MEMBERS)
    may_rename = Permission.MANAGE_ORGANISATION in permissions_of(request.actor, organisation.pk)
    form = OrganisationForm(request.POST or None, instance=organisation)
    if request.method == "POST":
        current_organisation(request.actor, Permission.MANAGE_ORGANISATION)
        if form.is_valid():
            organisations.rename_organisation(
                organisation=organisation, name=form.cleaned_data["name"], actor=request.actor
            )
            messages.success(request, _("Saved."))
            return redirect("accounts:organisation")
    context = {"form": form, "may_rename": may_rename}
    return render(request, "accounts/organisation.html", context, status=422 if form.errors else 200)


@require_POST
def add_organisation(request: Request) -> HttpResponse:
    person = require_person(request.actor)
    limit(person.pk.hex, "new-organisation", per_minute=5)
    form = OrganisationForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give the organisation a name of at most 120 characters."))
        return redirect("accounts:account")
    choose_organisation(request.session, make_organisation(person, form.cleaned_data["name"]))
    messages.success(request, _("You are now working in the new organisation."))
    return redirect("accounts:organisation")


@require_http_methods(["GET", "POST"])
def leave_organisation(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_MEMBERS)
    error = ""
    if request.method == "POST":
        try:
            member = own_membership(request.actor, organisation.pk)
            organisations.leave_organisation(member=member, actor=request.actor)
        except AppError as refusal:
            error = refusal.message
        else:
            messages.success(request, _("You have left %s.") % organisation.name)
            return redirect("accounts:account")
    return _confirm(
        request,
        title=_("Leave %s?") % organisation.name,
        lines=[_("You lose access to its pods and keys of yours stop working there. Somebody can invite you again.")],
        verb=_("Leave"),
        back_url=reverse("accounts:organisation"),
        error=error,
    )


@require_http_methods(["GET", "POST"])
def show_members(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_MEMBERS)
    may_manage = Permission.MANAGE_MEMBERS in permissions_of(request.actor, organisation.pk)
    form = InviteForm(request.POST or None)
    if request.method == "POST":
        current_organisation(request.actor, Permission.MANAGE_MEMBERS)
        limit(organisation.pk.hex, "invite", per_minute=20)
        if form.is_valid() and _invite(request, organisation, form):
            return redirect("accounts:members")
    rows = Member.objects.filter(organisation=organisation).select_related("user").order_by("joined_at")
    context = {
        "form": form,
        "members": rows,
        "invitations": invitations.open_invitations(organisation) if may_manage else [],
        "roles": Role.choices,
        "may_manage": may_manage,
    }
    return render(request, "accounts/members.html", context, status=422 if form.errors else 200)


def _invite(request: Request, organisation: Organisation, form: InviteForm) -> bool:
    data = form.cleaned_data
    try:
        invitations.invite(organisation=organisation, email=data["email"], role=data["role"], actor=request.actor)
    except AppError as refusal:
        add_refusal(form, refusal)
        return False
    messages.success(request, _("An invitation is on its way to %s.") % data["email"])
    return True


@require_POST
def change_role(request: Request, member_id: str) -> HttpResponse:
    member = get_member(request.actor, member_id, Permission.MANAGE_MEMBERS)
    organisations.change_role(member=member, role=request.POST.get("role", ""), actor=request.actor)
    messages.success(request, _("The role has been changed."))
    return redirect("accounts:members")


@require_http_methods(["GET", "POST"])
def remove_member(request: Request, member_id: str) -> HttpResponse:
    member = get_member(request.actor, member_id, Permission.MANAGE_MEMBERS)
    if request.method == "POST":
        organisations.remove_member(member=member, actor=request.actor)
        messages.success(request, _("%s is no longer a member.") % member.user.email)
        return redirect("accounts:members")
    return _confirm(
        request,
        title=_("Remove %s?") % member.user.email,
        lines=[_("They lose access to %s, and keys that they created stop working.") % member.organisation.name],
        verb=_("Remove"),
        back_url=reverse("accounts:members"),
    )


@require_POST
def revoke_invitation(request: Request, invitation_id: str) -> HttpResponse:
    invitation = get_invitation(request.actor, invitation_id, Permission.MANAGE_MEMBERS)
    invitations.revoke_invitation(invitation=invitation, actor=request.actor)
    messages.success(request, _("The invitation has been revoked."))
    return redirect("accounts:members")


@require_http_methods(["GET", "POST"])
def accept_invitation(request: Request, token: str) -> HttpResponse:
    """The page of the mailed link. Who is not signed in signs in or up, and the link is remembered meanwhile."""
    limit(request, "invitation", per_minute=30)
    invitation = invitations.find_by_token(token)
    person = request.user if isinstance(request.user, User) else None
    if request.method == "POST" and person is not None:
        invitations.accept(invitation=invitation, person=person)
        choose_organisation(request.session, invitation.organisation)
        messages.success(request, _("Welcome to %s.") % invitation.organisation.name)
        return redirect("/dashboard/")
    if person is None:
        invitations.remember_token(request.session, token)
        # The link came by mail, so an account made with this address needs no second mail to confirm it.
        get_adapter(request).stash_verified_email(request, invitation.email)
    context = {
        "invitation": invitation,
        "sign_up_query": urlencode({"email": invitation.email, "next": "/dashboard/"}),
        "sign_in_query": urlencode({"next": request.path}),
    }
    return render(request, "accounts/invitation.html", context)


@require_http_methods(["GET", "POST"])
def show_keys(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.MANAGE_KEYS)
    offered = keys.scopes_for(request.actor, organisation)
    form = KeyForm(request.POST or None, offered=offered)
    context: dict[str, Any] = {"form": form, "keys": keys.live_keys(organisation).order_by("-pk")}
    if request.method == "POST" and form.is_valid():
        try:
            context["made"], context["token"] = keys.create_key(
                organisation=organisation,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=form.expires_at(),
                actor=request.actor,
            )
            context["form"] = KeyForm(offered=offered)
        except AppError as refusal:
            add_refusal(form, refusal)
    answer = render(request, "accounts/keys.html", context, status=422 if form.errors else 200)
    answer["Cache-Control"] = "no-store"  # the key stands in this one answer only
    return answer


@require_http_methods(["GET", "POST"])
def revoke_key(request: Request, key_id: str) -> HttpResponse:
    key = get_key(request.actor, key_id, Permission.MANAGE_KEYS)
    if request.method == "POST":
        keys.revoke_key(key=key, actor=request.actor)
        messages.success(request, _("The key has been revoked."))
        return redirect("accounts:api-keys")
    return _confirm(
        request,
        title=_("Revoke the key %s?") % key.name,
        lines=[_("Programs that use it (%s…) will be refused from now on. It cannot be restored.") % key.prefix],
        verb=_("Revoke"),
        back_url=reverse("accounts:api-keys"),
    )


@require_GET
def show_audit(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_AUDIT)
    page = audit.page_of_entries(organisation.pk, limit=50, cursor=request.GET.get("cursor"))
    people = User.objects.filter(memberships__organisation=organisation)
    names = {str(person.pk): person.get_full_name() for person in people}
    entries = [(entry, names.get(entry.actor_id, "")) for entry in page["items"]]
    return render(request, "accounts/audit.html", {"entries": entries, "next": page["next"]})


def _confirm(
    request: Request, *, title: str, lines: list[str], verb: str, back_url: str, error: str = ""
) -> HttpResponse:
    context = {"title": title, "lines": lines, "verb": verb, "back_url": back_url, "danger": True, "error": error}
    return render(request, "parts/confirm.html", context, status=409 if error else 200)
