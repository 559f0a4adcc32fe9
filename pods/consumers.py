"""`/ws/pods/{id}/`: the last lines of the log, then what happens, live."""

from __future__ import annotations

from typing import Any, ClassVar

from accounts.actor import Actor
from lib.push import pod_group
from lib.sockets import PageConsumer
from pods.access import get_pod
from pods.models import LogLine, Pod
from pods.reports import line_json

FIRST_LINES = 200


class PodConsumer(PageConsumer):
    coalesce: ClassVar[dict[str, str]] = {"pod.logs": "lines"}
    pod: Pod

    def authorise(self, actor: Actor) -> list[str]:
        self.pod = get_pod(actor, self.scope["url_route"]["kwargs"]["pod_id"])
        return [pod_group(self.pod.pk)]

    def first_messages(self) -> list[dict[str, Any]]:
        pod = self.pod
        rows = list(LogLine.objects.filter(pod=pod).order_by("-id")[:FIRST_LINES])[::-1]
        return [
            {"type": "pod.changed", "id": pod.public_id, "version": pod.version, "status": pod.status},
            {"type": "pod.logs", "id": pod.public_id, "lines": [line_json(row) for row in rows], "first": True},
        ]
