from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _plan_with_room(request: pytest.FixtureRequest) -> None:
    """What plans allow is tested in tests/billing/test_plan_limits.py."""
    if "organisation" in request.fixturenames:
        request.getfixturevalue("team_plan")
