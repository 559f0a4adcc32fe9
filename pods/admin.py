"""Pods and what happened to them, for staff. Status and money are read-only; actions go through `pods.actions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from accounts import actor as actors
from accounts.models import User
from lib.errors import AppError
from pods import actions
from pods.models import MonthSpend, Placement, Pod, PodConfig, PodEvent, PodTemplate, SpendLimit, Usage


class ReadOnlyAdmin(ModelAdmin):
    """Rows that the domain modules alone write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Pod)
class PodAdmin(ReadOnlyAdmin):
    list_display = ("name", "organisation", "status", "desired_status", "reason", "epoch", "payer", "created_at")
    list_filter = ("status", "desired_status", "reason", "payer", "mode")
    search_fields = ("name", "id", "organisation__name", "placements__ref")
    date_hierarchy = "created_at"
    list_select_related = ("organisation",)
    exclude = ("sealed_env", "lease_until")
    actions = ("stop_pods", "start_pods", "terminate_pods")

    @admin.action(description=_("Stop, keeping what can be kept"), permissions=["act"])
    def stop_pods(self, request: HttpRequest, rows: QuerySet[Pod]) -> None:
        self._each(request, rows, actions.stop_pod)

    @admin.action(description=_("Start again"), permissions=["act"])
    def start_pods(self, request: HttpRequest, rows: QuerySet[Pod]) -> None:
        self._each(request, rows, actions.start_pod)

    @admin.action(description=_("Terminate for good"), permissions=["act"])
    def terminate_pods(self, request: HttpRequest, rows: QuerySet[Pod]) -> None:
        self._each(request, rows, actions.terminate_pod)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("pods.change_pod"))

    def _each(self, request: HttpRequest, rows: QuerySet[Pod], verb: Callable[..., Any]) -> None:
        assert isinstance(request.user, User)
        for pod in rows:
            try:
                verb(pod=pod, actor=actors.staff(request.user))
            except AppError as refusal:
                messages.error(request, f"{pod}: {refusal.message}")
            else:
                messages.success(request, _("%s: requested.") % pod)


@admin.register(Placement)
class PlacementAdmin(ReadOnlyAdmin):
    list_display = ("pod", "epoch", "attempt", "provider", "ref", "status", "price_per_hour", "currency", "reached_at")
    list_filter = ("status", "provider", "payer")
    search_fields = ("pod__name", "ref", "error")
    date_hierarchy = "requested_at"
    list_select_related = ("pod", "provider")


@admin.register(PodEvent)
class PodEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "pod", "kind", "old_status", "new_status", "reason", "message", "actor")
    list_filter = ("kind", "new_status", "reason")
    search_fields = ("pod__name", "message", "actor")
    date_hierarchy = "at"
    list_select_related = ("pod",)


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    list_display = ("placement", "epoch", "started_at", "seconds", "amount", "currency", "payer")
    list_filter = ("currency", "payer")
    search_fields = ("placement__pod__name", "placement__ref")
    date_hierarchy = "started_at"
    list_select_related = ("placement__pod",)


@admin.register(SpendLimit)
class SpendLimitAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "person", "soft", "hard", "told_at")
    search_fields = ("organisation__name", "person__email")
    list_select_related = ("organisation", "person")


@admin.register(MonthSpend)
class MonthSpendAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "person", "month", "amount")
    search_fields = ("organisation__name", "person__email")
    date_hierarchy = "month"
    list_select_related = ("organisation", "person")


@admin.register(PodConfig)
class PodConfigAdmin(ReadOnlyAdmin):
    list_display = ("name", "organisation", "mode", "payer", "gpu_query", "updated_at")
    list_filter = ("mode", "payer")
    search_fields = ("name", "organisation__name")
    exclude = ("sealed_env",)
    list_select_related = ("organisation",)


@admin.register(PodTemplate)
class PodTemplateAdmin(ModelAdmin):
    list_display = ("slug", "name", "organisation", "image", "min_vram_gb", "disk_gb", "checkpoints")
    list_filter = ("checkpoints", "restart_policy")
    search_fields = ("slug", "name", "image")
