from django.urls import path

from notifications.consumers import NotificationConsumer

routes = [path("ws/notifications/", NotificationConsumer.as_asgi())]
