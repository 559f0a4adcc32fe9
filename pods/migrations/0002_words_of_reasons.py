from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pods", "0001_initial"),
    ]

    operations = [
        migrations.AlterField(
            model_name="pod",
            name="desired_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", ""),
                    ("requested", "as requested"),
                    ("started", "the provider accepted it"),
                    ("reached", "a probe reached it"),
                    ("node_lost", "its node fell silent"),
                    ("instance_lost", "the provider lost it"),
                    ("preempted", "the provider took it back"),
                    ("no_capacity", "no offer could be rented"),
                    ("provider_refused", "the provider refused it"),
                    ("exited", "its process ended normally"),
                    ("crashed", "its process failed too often"),
                    ("no_funds", "the balance ran out"),
                    ("time_over", "its time to live ended"),
                    ("budget_spent", "its spend cap was reached"),
                    ("confirmed_gone", "seen gone twice at the provider"),
                    ("platform_stop", "this installation was stopped"),
                ],
                default="",
                max_length=20,
                verbose_name="why",
            ),
        ),
        migrations.AlterField(
            model_name="pod",
            name="reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", ""),
                    ("requested", "as requested"),
                    ("started", "the provider accepted it"),
                    ("reached", "a probe reached it"),
                    ("node_lost", "its node fell silent"),
                    ("instance_lost", "the provider lost it"),
                    ("preempted", "the provider took it back"),
                    ("no_capacity", "no offer could be rented"),
                    ("provider_refused", "the provider refused it"),
                    ("exited", "its process ended normally"),
                    ("crashed", "its process failed too often"),
                    ("no_funds", "the balance ran out"),
                    ("time_over", "its time to live ended"),
                    ("budget_spent", "its spend cap was reached"),
                    ("confirmed_gone", "seen gone twice at the provider"),
                    ("platform_stop", "this installation was stopped"),
                ],
                default="",
                max_length=20,
                verbose_name="reason",
            ),
        ),
    ]
