from django.db import migrations


class Migration(migrations.Migration):
    """Every listing writes `observed_at` of every row: room in each page keeps those updates off the indexes (HOT)."""

    dependencies = [("marketplace", "0001_initial")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE marketplace_offer SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)",
            "ALTER TABLE marketplace_offer RESET (fillfactor, autovacuum_vacuum_scale_factor)",
        )
    ]
