from django.urls import path

from marketplace.consumers import AvailabilityConsumer, MarketConsumer

routes = [
    path("ws/", MarketConsumer.as_asgi()),
    path("ws/gpu-availability/", AvailabilityConsumer.as_asgi()),
]
