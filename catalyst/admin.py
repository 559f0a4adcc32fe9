"""Nodes and what happened on them, for staff. Status is read-only; actions go through `catalyst.nodes`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from catalyst import nodes
from catalyst.models import Checkpoint, Failover, Node, NodeCommand, NodePod, NodeToken
from lib.errors import AppError


class ReadOnlyAdmin(ModelAdmin):
    """Rows that tell what happened: nobody adds, edits or deletes them by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Node)
class NodeAdmin(ReadOnlyAdmin):
    list_display = ("name", "status", "organisation", "is_local", "slots", "price_per_hour", "last_beat_at")
    list_filter = ("status", "is_local")
    search_fields = ("name", "organisation__name")
    actions = ("drain_nodes", "resume_nodes", "retire_nodes")

    @admin.action(description=_("Drain: no new pods"))
    def drain_nodes(self, request: HttpRequest, rows: QuerySet[Node]) -> None:
        self._each(request, rows, nodes.drain)

    @admin.action(description=_("Resume: take new pods again"))
    def resume_nodes(self, request: HttpRequest, rows: QuerySet[Node]) -> None:
        self._each(request, rows, nodes.resume)

    @admin.action(description=_("Retire: never use again"))
    def retire_nodes(self, request: HttpRequest, rows: QuerySet[Node]) -> None:
        self._each(request, rows, nodes.retire)

    def _each(self, request: HttpRequest, rows: QuerySet[Node], verb: Any) -> None:
        for node in rows:
            try:
                verb(node)
            except AppError as problem:
                messages.error(request, f"{node}: {problem}")


@admin.register(NodePod)
class NodePodAdmin(ReadOnlyAdmin):
    list_display = ("pod", "epoch", "node", "state", "reason", "exit_code", "restarts", "changed_at")
    list_filter = ("state", "node")
    search_fields = ("pod__name", "placement_key")


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("pod", "sequence", "epoch", "step", "size_bytes", "committed_at")
    search_fields = ("pod__name", "root")
    date_hierarchy = "committed_at"


@admin.register(Failover)
class FailoverAdmin(ReadOnlyAdmin):
    list_display = ("pod", "from_node", "to_node", "cause", "last_seen_at", "detected_at", "resumed_at")
    list_filter = ("cause", "false_alarm")
    search_fields = ("pod__name",)
    date_hierarchy = "detected_at"


@admin.register(NodeCommand)
class NodeCommandAdmin(ReadOnlyAdmin):
    list_display = ("kind", "node", "node_pod", "created_at", "done_at", "ok", "message")
    list_filter = ("kind", "ok")


@admin.register(NodeToken)
class NodeTokenAdmin(ReadOnlyAdmin):
    list_display = ("name", "organisation", "is_local", "created_at", "expires_at", "used_at")
    search_fields = ("name",)
