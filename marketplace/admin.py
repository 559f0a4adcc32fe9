"""The market for staff: what was read and how it went. Offers and prices are written by ingestion alone."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from lib.errors import AppError
from marketplace.ingest import ingest_provider
from marketplace.models import GpuModel, MarketVersion, Offer, PricePoint, Provider, ProviderAccount
from marketplace.offers import usable


class ReadOnlyAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Provider)
class ProviderAdmin(ModelAdmin):
    list_display = (
        "name", "enabled", "health", "offers_seen", "refused_rows", "last_success_at", "failures_in_row", "latency_ms",
    )  # fmt: skip
    list_filter = ("health", "enabled")
    search_fields = ("slug", "name")
    fields = (
        "slug", "name", "website", "enabled", "capabilities", "health", "last_success_at", "last_attempt_at", "last_error",
        "failures_in_row", "refused_rows", "offers_seen", "latency_ms",
    )  # fmt: skip
    actions = ("read_listings",)

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name != "enabled")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.action(description=gettext_lazy("Read the listing now"), permissions=["change"])
    def read_listings(self, request: HttpRequest, rows: QuerySet[Provider]) -> None:
        for provider in rows:
            try:
                result = ingest_provider(provider.slug)
            except AppError as refusal:
                messages.error(request, f"{provider}: {refusal}")
                continue
            if result is None:
                provider.refresh_from_db()
                messages.error(request, f"{provider}: {provider.last_error}")
            else:
                seen, new, gone = result.written.seen, result.written.new, result.written.withdrawn
                facts = {"name": provider, "seen": seen, "new": new, "gone": gone}
                messages.success(request, _("%(name)s: %(seen)d offers, %(new)d new, %(gone)d withdrawn") % facts)


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id", "provider", "gpu", "gpu_count", "kind", "price_per_hour", "region", "available_count", "observed_at",
        "source", "rentable",
    )  # fmt: skip
    list_filter = ("source", "kind", "provider", ("withdrawn_at", admin.EmptyFieldListFilter), "verified")
    search_fields = ("ref", "gpu__name", "gpu__slug", "region", "country")
    list_select_related = ("provider", "gpu")
    ordering = ("-observed_at",)
    show_full_result_count = False

    @admin.display(description=gettext_lazy("rentable now"))
    def rentable(self, offer: Offer) -> str:
        return "; ".join(usable(offer)) or _("yes")


@admin.register(GpuModel)
class GpuModelAdmin(ReadOnlyAdmin):
    list_display = ("name", "vendor", "architecture", "form_factor", "vram_gb", "memory_gb_s", "fp16_tflops", "tdp_w")
    list_filter = ("vendor", "kind", "architecture")
    search_fields = ("slug", "name", "synonyms")


@admin.register(PricePoint)
class PricePointAdmin(ReadOnlyAdmin):
    list_display = ("at", "gpu", "provider", "kind", "region", "price_per_gpu_hour", "source")
    list_filter = ("source", "kind", "provider")
    search_fields = ("gpu__slug",)
    list_select_related = ("provider", "gpu")
    ordering = ("-id",)
    show_full_result_count = False


@admin.register(ProviderAccount)
class ProviderAccountAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "organisation",
        "provider",
        "key_hint",
        "created_at",
        "checked_at",
        "problem",
        "archived_at",
    )
    list_filter = ("provider", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "organisation__name")
    list_select_related = ("organisation", "provider")
    exclude = ("sealed_key",)


@admin.register(MarketVersion)
class MarketVersionAdmin(ReadOnlyAdmin):
    list_display = ("id", "version")
