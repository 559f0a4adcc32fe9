"""What the nightly comparison with the world outside has found."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from lib.ids import new_id


class ReconciliationRun(models.Model):
    """One comparison with one source. `error`: the source could not be asked to the end, so nothing is known."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.CharField(_("source"), max_length=32)
    started_at = models.DateTimeField(_("started"), db_default=Now(), editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    compared = models.PositiveIntegerField(_("compared"), default=0)
    differences = models.PositiveIntegerField(_("differences"), default=0)
    error = models.CharField(_("error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["source", "-started_at"], name="reconciliation_by_source"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.started_at:%Y-%m-%d %H:%M}"


class ReconciliationCase(models.Model):
    """A difference, open until a later run no longer finds it or a person has explained it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.CharField(_("source"), max_length=32)
    kind = models.CharField(_("kind"), max_length=24)
    subject = models.CharField(_("subject"), max_length=80)  # such as the public id of a payment
    ours = models.CharField(_("ours"), max_length=200)
    theirs = models.CharField(_("theirs"), max_length=200)
    found_at = models.DateTimeField(_("found"), db_default=Now(), editable=False)
    seen_at = models.DateTimeField(_("last seen"))
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolved_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    note = models.CharField(_("note"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("difference")
        verbose_name_plural = _("differences")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["source", "kind", "subject"], condition=Q(resolved_at=None), name="case_open_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.kind} {self.subject}"
