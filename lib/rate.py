"""How often a door may be used: one token bucket for each door and caller, kept in Valkey by one atomic script."""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django_redis import get_redis_connection
from redis.exceptions import RedisError

from lib.errors import TooMany

log = logging.getLogger(__name__)

# The bucket holds a minute's worth of tokens and fills at a steady rate, by the server's clock. Answers the
# milliseconds until there is a token: 0 when one was taken.
TAKE_ONE = """
local size = tonumber(ARGV[1])
local per_ms = size / 60000
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1]) or size
tokens = math.min(size, tokens + (now - (tonumber(bucket[2]) or now)) * per_ms)
local wait = 0
if tokens >= 1 then tokens = tokens - 1 else wait = math.ceil((1 - tokens) / per_ms) end
redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
redis.call('PEXPIRE', KEYS[1], 60000)
return wait
"""


def limit(caller: HttpRequest | str, name: str, *, per_minute: int) -> None:
    """Raise TooMany when `caller` (a request: its address; else any key) used the door `name` too often."""
    key = caller if isinstance(caller, str) else client_address(caller)
    try:
        bucket = cache.make_key(f"rate:{name}:{key}")
        wait_ms = int(get_redis_connection("default").eval(TAKE_ONE, 1, bucket, per_minute))
    except RedisError:
        # Without Valkey nothing else works well either; people should not be locked out on top of it.
        log.warning("the rate of %s was not checked", name, exc_info=True)
        return
    if wait_ms:
        seconds = -(-wait_ms // 1000)
        raise TooMany(_("Too many requests. Try again in %(n)d s.") % {"n": seconds}, retry_after_s=seconds)


def client_address(request: HttpRequest) -> str:
    """The address of who asks. A forwarded one counts only behind a proxy that we know, which appends it last."""
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.BEHIND_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR") or "unknown"
