from django.urls import path

from console.consumers import DashboardConsumer

routes = [path("ws/dashboard/", DashboardConsumer.as_asgi())]
