from django.urls import path

from catalyst.consumers import NodeConsumer

routes = [path("ws/nodes/", NodeConsumer.as_asgi())]
