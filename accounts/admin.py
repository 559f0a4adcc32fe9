"""People for staff. What is a secret, a record or somebody else's decision is read-only here."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import actor as actors
from accounts import audit, keys, on_behalf
from accounts.models import ApiKey, ApiSignIn, AuditEntry, IdempotencyKey, Invitation, Member, Organisation, User

# Staff sign in where everybody does: with the second factor, the limits and the lock-out that are there.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.unregister(Group)


class ReadOnlyAdmin(ModelAdmin):
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only by what is shown: by filters, what the page hides could be read letter by letter."""
        column = lookup.split("__")[0]
        filters = {name if isinstance(name, str) else name[0] for name in self.list_filter}
        listed = {"pk", self.opts.pk.name, self.date_hierarchy, *self.list_display, *filters}
        shown = listed | set(flatten_fieldsets(self.get_fieldsets(request)))
        return column in shown and super().lookup_allowed(lookup, value, request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "country", "is_active", "is_staff", "date_joined", "last_login")
    list_filter = ("is_active", "is_staff", "groups", "country")
    search_fields = ("email", "name")
    ordering = ("-date_joined",)
    readonly_fields = ("date_joined", "last_login")
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        (_("Person"), {"fields": ("name", "locale", "time_zone", "country")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only a superuser hands out rights: else whoever may change people could make themselves one."""
        fixed = tuple(super().get_readonly_fields(request, obj))
        rights = ("is_staff", "is_superuser", "groups", "user_permissions")
        return fixed if request.user.is_superuser else fixed + rights

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nor does anybody else change a superuser's address or password."""
        may = super().has_change_permission(request, obj)
        return may and (request.user.is_superuser or obj is None or not obj.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # people are deactivated; records point at them


class MemberInline(TabularInline):
    """To look at: roles are given by the organisation itself, which so keeps an owner."""

    model = Member
    extra = 0
    fields = readonly_fields = ("user", "role", "joined_at")

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Organisation)
class OrganisationAdmin(ModelAdmin):
    list_display = ("name", "public_id", "country", "tax_id", "created_at", "archived_at")
    list_filter = ("country", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "tax_id", "memberships__user__email")
    readonly_fields = ("public_id", "created_at")
    date_hierarchy = "created_at"
    inlines = (MemberInline,)
    actions = ("act_for",)

    @admin.action(description=_("Work for this organisation"))
    def act_for(self, request: HttpRequest, rows: QuerySet[Organisation]) -> HttpResponse | None:
        assert isinstance(request.user, User)
        chosen = list(rows[:2])
        if len(chosen) != 1:
            messages.error(request, _("Choose one organisation."))
            return None
        on_behalf.begin(request.session, request.user, chosen[0])
        return redirect("/")

    def has_delete_permission(self, request: HttpRequest, obj: Organisation | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Organisation, form: ModelForm[Organisation], change: bool) -> None:
        assert isinstance(request.user, User)
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            audit.record(obj.pk, actors.staff(request.user), "organisation.edit", obj, {"fields": form.changed_data})


@admin.register(Member)
class MemberAdmin(ReadOnlyAdmin):
    list_display = ("user", "organisation", "role", "joined_at")
    list_filter = ("role",)
    search_fields = ("user__email", "organisation__name")
    list_select_related = ("user", "organisation")


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = (
        "email",
        "organisation",
        "role",
        "invited_by",
        "created_at",
        "expires_at",
        "accepted_at",
        "revoked_at",
    )
    list_filter = ("role",)
    search_fields = ("email", "organisation__name")
    list_select_related = ("organisation", "invited_by")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "prefix",
        "organisation",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix", "organisation__name", "created_by__email")
    list_select_related = ("organisation", "created_by")
    fields = ("name", "prefix", "organisation", "created_by", "scopes", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.action(description=_("Revoke"), permissions=["change_key"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        assert isinstance(request.user, User)
        live = list(rows.filter(revoked_at=None))
        for key in live:
            keys.revoke_key(key=key, actor=actors.staff(request.user))
        messages.success(request, _("Revoked %d keys.") % len(live))

    def has_change_key_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")


@admin.register(ApiSignIn)
class ApiSignInAdmin(ReadOnlyAdmin):
    list_display = ("user", "created_at", "refreshed_at", "expires_at", "revoked_at")
    search_fields = ("user__email",)
    list_select_related = ("user",)
    fields = ("user", "created_at", "refreshed_at", "expires_at", "revoked_at")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "sequence", "at", "actor_kind", "actor_id", "action", "object_type", "object_id")
    list_filter = ("actor_kind", "action")
    search_fields = ("organisation__name", "action", "object_id", "actor_id")
    list_select_related = ("organisation",)
    date_hierarchy = "at"
    ordering = ("-id",)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    list_display = ("key", "organisation", "route", "status", "created_at")
    search_fields = ("key", "route", "organisation__name")
    list_select_related = ("organisation",)
    fields = ("key", "organisation", "route", "status", "created_at")
    ordering = ("-id",)
