"""Credits from before there were lots: one lot for each organisation, which does not expire."""

from typing import Any

from django.db import migrations
from django.db.models import F


def fill(apps: Any, schema_editor: Any) -> None:
    accounts = apps.get_model("billing", "Account").objects.filter(
        kind="credits", credits_posted__gt=F("debits_posted")
    )
    lots = apps.get_model("billing", "CreditLot")
    for account in accounts:
        left = account.credits_posted - account.debits_posted
        lots.objects.create(
            id=account.pk, organisation_id=account.organisation_id, source="opening", amount=left, left=left
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_credit_lots")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
