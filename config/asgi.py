"""ASGI: pages and API by Django, everything below /ws/ by the apps' consumers."""

import os
from urllib.parse import ParseResult

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  (needs the apps loaded)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

import catalyst.sockets  # noqa: E402
import console.sockets  # noqa: E402
import marketplace.sockets  # noqa: E402
import notifications.sockets  # noqa: E402
import pods.sockets  # noqa: E402


class BrowserOriginValidator(OriginValidator):
    """Refuses pages of other sites. Browsers always send their origin; node agents and programs have none."""

    def valid_origin(self, parsed_origin: ParseResult | None) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


routes = [
    *marketplace.sockets.routes,
    *pods.sockets.routes,
    *notifications.sockets.routes,
    *console.sockets.routes,
    *catalyst.sockets.routes,
]

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": BrowserOriginValidator(AuthMiddlewareStack(URLRouter(routes)), settings.ALLOWED_HOSTS),
    }
)
