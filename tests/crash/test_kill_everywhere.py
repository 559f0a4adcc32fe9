"""Each flow is killed before and after each commit and each call to the outside, restarted, and has one effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import pytest

from tests.crash.flows import FLOWS
from tests.crash.lives import Runner, kill_everywhere

Peers = Callable[[tuple[str, ...]], None]


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_killed_everywhere(
    platform: None,
    peers: Peers,
    runner: Runner,
    settings: Any,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    settings.EMAIL_BACKEND = "notifications.channels.email.EmailBackend"
    flow = FLOWS[name]
    peers(flow.peers)
    tally = kill_everywhere(flow, runner)
    record_property("crash", astuple(tally))
