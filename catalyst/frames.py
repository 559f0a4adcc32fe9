"""Agents run on strangers' machines: every frame is checked before anything reads it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from catalyst.agent import protocol

FRAMES: dict[str, TypeAdapter[Any]] = {
    "hello": TypeAdapter(protocol.Hello),
    "beat": TypeAdapter(protocol.Beat),
    "state": TypeAdapter(protocol.StateMessage),
    "log": TypeAdapter(protocol.LogMessage),
    "metric": TypeAdapter(protocol.MetricMessage),
    "done": TypeAdapter(protocol.Done),
}
MAX_PODS = 1000


class BadFrame(Exception):
    """The frame is not of the protocol. The text names the place and never repeats what was sent."""


def check_frame(content: Any) -> dict[str, Any]:
    """The frame, typed as `catalyst.agent.protocol` says. Raises BadFrame."""
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in FRAMES:
        raise BadFrame("unknown type")
    try:
        frame: dict[str, Any] = FRAMES[kind].validate_python(content)
    except ValidationError as error:
        raise BadFrame(f"{kind}: {error.errors()[0]['loc']}") from None
    if len(frame.get("pods", ())) > MAX_PODS or len(frame.get("lines", ())) > protocol.LOG_LINES_PER_MESSAGE:
        raise BadFrame(f"{kind}: too many entries")
    for pod in [frame, *frame.get("pods", ())]:
        _check_pod_id(pod)
    return frame


def _check_pod_id(entry: dict[str, Any]) -> None:
    if "pod" in entry:
        try:
            UUID(entry["pod"])
        except ValueError:
            raise BadFrame("pod is not an id") from None
