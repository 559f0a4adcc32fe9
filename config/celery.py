"""Celery, its two queues and the whole beat schedule in one place.

`control` keeps pods and nodes alive and never waits for listings or mail; `work` does the rest.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

from config.pulse import EVERY_S, QUEUES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("gpubroker")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "reconcile-pods": {"task": "pods.tasks.reconcile_pods", "schedule": 1.0},
    "watch-nodes": {"task": "catalyst.tasks.watch_nodes", "schedule": 1.0},
    "meter-pods": {"task": "pods.tasks.meter_pods", "schedule": 10.0},
    "sweep-orphans": {"task": "pods.tasks.sweep_orphans", "schedule": 60.0},
    "tell-of-spend-limits": {"task": "pods.tasks.tell_of_spend_limits", "schedule": 60.0},
    "prune-pods": {"task": "pods.tasks.prune_pods", "schedule": 600.0},
    "ingest-offers": {"task": "marketplace.tasks.ingest_offers", "schedule": 30.0},
    "expire-credits": {"task": "billing.tasks.expire_credits", "schedule": 60.0},
    "expire-holds": {"task": "billing.tasks.expire_holds", "schedule": 60.0},
    "reconcile-payments": {"task": "billing.tasks.reconcile_payments", "schedule": 60.0},
    "reconcile-chargebacks": {"task": "billing.tasks.reconcile_chargebacks", "schedule": 900.0},
    "keep-wallets-filled": {"task": "billing.tasks.keep_wallets_filled", "schedule": 60.0},
    "watch-balances": {"task": "billing.tasks.watch_balances", "schedule": 60.0},
    "pay-out-weekly": {"task": "billing.tasks.pay_out_weekly", "schedule": 3600.0},
    "reconcile-payouts": {"task": "billing.tasks.reconcile_payouts", "schedule": 60.0},
    "reconcile-subscriptions": {"task": "billing.tasks.reconcile_subscriptions", "schedule": 60.0},
    "reconcile-disputes": {"task": "billing.tasks.reconcile_disputes", "schedule": 60.0},
    "reconcile-referrals": {"task": "billing.tasks.reconcile_referrals", "schedule": 600.0},
    "follow-chains": {"task": "billing.tasks.follow_chains", "schedule": 5.0},
    "finish-paid-enrolments": {"task": "enrollment.tasks.finish_paid", "schedule": 60.0},
    "deliver-mail": {"task": "notifications.tasks.deliver_mail", "schedule": 10.0},
    "forget-old-mail": {"task": "notifications.tasks.forget_old_mail", "schedule": 24 * 3600.0},
    "forget-expired": {"task": "accounts.tasks.forget_expired", "schedule": 3600.0},
    "reconcile-everything": {"task": "billing.tasks.reconcile_everything", "schedule": 24 * 3600.0},
    "check-ledger": {"task": "billing.tasks.check_ledger", "schedule": 24 * 3600.0},
}
app.conf.task_routes = {
    # They wait for providers, or take their time: not where pods are kept alive.
    "pods.tasks.collect_logs": {"queue": "work"},
    "pods.tasks.tell_people": {"queue": "work"},
    "pods.tasks.sweep_orphans": {"queue": "work"},
    "pods.tasks.prune_pods": {"queue": "work"},
    "pods.tasks.tell_of_spend_limits": {"queue": "work"},
    "pods.tasks.*": {"queue": "control"},
    "catalyst.tasks.*": {"queue": "control"},
    "*": {"queue": "work"},
}
for queue in QUEUES:
    pulse = {"task": "config.tasks.note_pulse", "schedule": EVERY_S, "args": (queue,), "options": {"queue": queue}}
    app.conf.beat_schedule[f"pulse-{queue}"] = pulse
# A tick that waited longer than its period is worth nothing: the next one does its work.
for entry in app.conf.beat_schedule.values():
    entry["options"] = entry.get("options", {}) | {"expires": max(2.0, float(entry["schedule"]))}


@worker_ready.connect
def ingest_at_once(sender: Any, **_: Any) -> None:
    """Beat's first ingestion is a whole period away, and who has just started it all waits for offers to look at."""
    if "work" in sender.app.amqp.queues.consume_from:
        app.send_task("marketplace.tasks.ingest_offers", expires=30)
