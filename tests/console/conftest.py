"""A pod of the cast's organisation, running on one of our nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from accounts.models import Organisation
    from pods.models import Pod


@pytest.fixture
def pod(organisation: Organisation) -> Pod:
    from billing import seeds as billing_seeds
    from pods.models import Pod
    from tests.catalyst.conftest import alive, enrol, place

    billing_seeds.seed()
    placed = place(alive(enrol("one").node))
    Pod.objects.filter(pk=placed.pod.pk).update(organisation=organisation)
    placed.pod.refresh_from_db()
    return placed.pod
