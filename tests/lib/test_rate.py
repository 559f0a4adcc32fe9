"""The token bucket: so many at once, then as many as a minute brings; each door and caller has their own."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from lib.errors import TooMany
from lib.rate import client_address, limit


@pytest.mark.django_db
def test_bucket_empties() -> None:
    for _n in range(3):
        limit("caller", "door", per_minute=3)
    with pytest.raises(TooMany) as refused:
        limit("caller", "door", per_minute=3)
    assert 1 <= refused.value.retry_after_s <= 20
    limit("caller", "another door", per_minute=3)
    limit("another caller", "door", per_minute=3)


@pytest.mark.django_db
def test_bucket_fills_again() -> None:
    from django.core.cache import cache
    from django_redis import get_redis_connection

    limit("caller", "door", per_minute=1)
    bucket = cache.make_key("rate:door:caller")
    connection = get_redis_connection("default")
    an_hour_ago = int(connection.hget(bucket, "at")) - 3_600_000
    connection.hset(bucket, "at", an_hour_ago)
    limit("caller", "door", per_minute=1)
    with pytest.raises(TooMany):
        limit("caller", "door", per_minute=1)


@pytest.mark.parametrize(
    ("behind_proxy", "forwarded", "address"),
    [
        (False, "6.6.6.6", "10.0.0.1"),
        (True, "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (True, "", "10.0.0.1"),
    ],
)
def test_forwarded_address_counts_behind_our_proxy_only(
    settings: Any, behind_proxy: bool, forwarded: str, address: str
) -> None:
    settings.BEHIND_PROXY = behind_proxy
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers={"X-Forwarded-For": forwarded})
    assert client_address(request) == address
