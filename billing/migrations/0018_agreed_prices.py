"""The price that each customer has agreed to. Of those from before: what they paid last, else what their plan costs."""

from decimal import Decimal
from typing import Any

from django.db import migrations, models
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

PRICE: dict[str, Any] = {"max_digits": 20, "decimal_places": 6, "null": True, "blank": True}


def fill(apps: Any, schema_editor: Any) -> None:
    payments, plans = apps.get_model("billing", "Payment").objects, apps.get_model("billing", "Plan").objects
    renewed = apps.get_model("billing", "Subscription").objects.exclude(service="")

    def listed(column: str) -> QuerySet[Any]:
        return plans.filter(pk=OuterRef(column)).values("price_per_month")

    of_renewed = payments.filter(subscription__in=renewed)
    of_renewed.update(price_per_month=F("amount"))
    captured = payments.filter(status="captured")
    month = captured.filter(
        subscription=OuterRef("subscription"),
        paid_from__lt=OuterRef("paid_from"),
        paid_until__gt=OuterRef("paid_from"),
    )
    upgrades = of_renewed.filter(Exists(month))  # paid for in the middle of a month
    upgrades.update(price_per_month=Subquery(listed("plan")))
    last = captured.filter(subscription=OuterRef("pk"), plan=OuterRef("plan")).order_by("-captured_at")
    paid = Subquery(last.values("price_per_month")[:1])
    renewed.update(price_per_month=Coalesce(paid, Subquery(listed("plan")), Value(Decimal(0))))
    waiting = renewed.exclude(next_plan=None)
    waiting.update(next_price_per_month=Coalesce(Subquery(listed("next_plan")), Value(Decimal(0))))


class Migration(migrations.Migration):
    dependencies = [("billing", "0017_name_the_local_tax_form")]

    operations = [
        migrations.AddField(
            model_name="payment",
            name="price_per_month",
            field=models.DecimalField(**PRICE, verbose_name="agreed price, USD/month"),
        ),
        migrations.AddField(
            model_name="subscription",
            name="price_per_month",
            field=models.DecimalField(**PRICE, verbose_name="agreed price, USD/month"),
        ),
        migrations.AddField(
            model_name="subscription",
            name="next_price_per_month",
            field=models.DecimalField(**PRICE, verbose_name="agreed price after it, USD/month"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=Q(service="") | Q(price_per_month__isnull=False), name="subscription_price_agreed"
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=Q(next_plan=None, next_price_per_month=None)
                | Q(next_plan__isnull=False, next_price_per_month__isnull=False),
                name="subscription_next_price_agreed",
            ),
        ),
    ]
