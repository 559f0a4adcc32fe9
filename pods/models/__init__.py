"""What a customer runs: the configuration, the pod, where it is placed, what happened and what was used."""

from pods.models.configs import Mode, Payer, PodConfig, PodSpec, PodTemplate, RestartPolicy
from pods.models.pods import OPEN_PLACEMENTS, Placement, Pod
from pods.models.records import LogLine, MetricSample, PodEvent
from pods.models.spending import MonthSpend, SpendLimit, Usage

__all__ = [
    "OPEN_PLACEMENTS",
    "LogLine",
    "MetricSample",
    "Mode",
    "MonthSpend",
    "Payer",
    "Placement",
    "Pod",
    "PodConfig",
    "PodEvent",
    "PodSpec",
    "PodTemplate",
    "RestartPolicy",
    "SpendLimit",
    "Usage",
]
