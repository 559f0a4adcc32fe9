from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0016_waiting_events"),
    ]

    operations = [
        migrations.AlterField(
            model_name="payeeprofile",
            name="tax_form",
            field=models.CharField(
                choices=[
                    ("none", "none yet"),
                    ("w9", "W-9 (a person or company of the United States)"),
                    ("w8ben", "W-8BEN (a person elsewhere)"),
                    ("w8bene", "W-8BEN-E (a company elsewhere)"),
                    ("local", "another form, which the tax office of our country asks for"),
                ],
                default="none",
                max_length=8,
                verbose_name="tax form",
            ),
        ),
    ]
