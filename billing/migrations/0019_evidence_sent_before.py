from django.db import migrations, models


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
    ]
