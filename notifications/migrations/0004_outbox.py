import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("notifications", "0003_sandbox_mail_attachments")]

    operations = [
        migrations.RenameModel("SandboxMail", "Mail"),
        migrations.AlterModelOptions("mail", {"verbose_name": "mail", "verbose_name_plural": "mails"}),
        migrations.AlterField(
            "mail",
            "created_at",
            models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="written"
            ),
        ),
        migrations.AddField(
            "mail",
            "status",
            models.CharField(
                choices=[
                    ("kept", "In the sandbox mailbox"),
                    ("waiting", "Waiting to be sent"),
                    ("sent", "Handed to the mail service"),
                    ("failed", "The mail service did not take it"),
                ],
                default="kept",
                max_length=8,
                verbose_name="status",
            ),
        ),
        migrations.AddField("mail", "sent_at", models.DateTimeField(editable=False, null=True, verbose_name="sent")),
        migrations.AddField(
            "mail",
            "due_at",
            models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True),
        ),
        migrations.AddField("mail", "lease_token", models.UUIDField(editable=False, null=True)),
        migrations.AddField("mail", "lease_until", models.DateTimeField(editable=False, null=True)),
        migrations.AddField("mail", "failures", models.PositiveIntegerField(default=0)),
        migrations.AddField("mail", "last_error", models.TextField(blank=True, default="")),
        migrations.AddIndex(
            "mail",
            models.Index(condition=models.Q(("status", "waiting")), fields=["due_at"], name="mail_waiting"),
        ),
    ]
