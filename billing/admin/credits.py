"""Rates of compute credits, and the lots that they come in."""

from __future__ import annotations

from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts import actor as actors
from accounts import audit
from accounts.models import User
from billing import lots
from billing.models import CreditLot, CreditRate
from lib.ids import new_id


@admin.register(CreditRate)
class CreditRateAdmin(ModelAdmin):
    """A new rate is a new row with its date; those in force are never changed."""

    list_display = ("resource", "credits_per_hour", "valid_from")
    list_filter = ("valid_from",)
    search_fields = ("resource",)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(CreditLot)
class CreditLotAdmin(ModelAdmin):
    """Adding one grants the credits; what is left of it is written by the domain alone."""

    list_display = ("created_at", "organisation", "source", "amount", "left", "expires_at")
    list_filter = ("source", ("expires_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "organisation__name", "organisation__memberships__user__email")
    list_select_related = ("organisation",)
    fields = ("organisation", "amount", "expires_at")
    autocomplete_fields = ("organisation",)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CreditLot, form: ModelForm[CreditLot], change: bool) -> None:
        assert isinstance(request.user, User)
        obj.pk = new_id()
        with transaction.atomic():
            lots.grant(obj.organisation, obj.amount, id=obj.pk, source=obj.Source.STAFF, expires_at=obj.expires_at)
            audit.record(
                obj.organisation_id, actors.staff(request.user), "credits.grant", obj, {"amount": str(obj.amount)}
            )
