"""A table at the end of a run: how many flows were killed, at how many points, in how many lives."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Of all processes of a run: what a test has noted travels with its report."""
    passed = terminalreporter.stats.get("passed", [])
    noted = sorted(value for report in passed for name, value in report.user_properties if name == "crash")
    if not noted:
        return
    width = max(len(flow) for flow, _points, _runs in noted)
    for flow, points, runs in noted:
        terminalreporter.write_line(f"crash: {flow:{width}}  {points:4} points  {runs:4} runs")
    points, runs = (sum(row[column] for row in noted) for column in (1, 2))
    terminalreporter.write_line(f"crash: {len(noted)} flows, {points} points, {runs} runs")
