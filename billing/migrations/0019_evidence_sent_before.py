"""What was sent before the bank wanted to hear more. Of disputes in which it does so now, staff write anew."""

from typing import Any

from django.db import migrations, models

WAITING = ("warning_needs_response", "needs_response")


def set_aside(apps: Any, schema_editor: Any) -> None:
    waiting = apps.get_model("billing", "Chargeback").objects.filter(status__in=WAITING, submitted_at__isnull=False)
    for row in waiting:
        if row.evidence:
            row.sent_before = [{"at": row.submitted_at.isoformat(), "evidence": row.evidence}]
        row.evidence, row.submitted_at, row.warned_at = {}, None, None
        row.save(update_fields=["sent_before", "evidence", "submitted_at", "warned_at"])


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0018_agreed_prices"),
    ]

    operations = [
        migrations.AddField(
            model_name="chargeback",
            name="sent_before",
            field=models.JSONField(blank=True, default=list, verbose_name="evidence sent before"),
        ),
        migrations.RunPython(set_aside, migrations.RunPython.noop),
    ]
