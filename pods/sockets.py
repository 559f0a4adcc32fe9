from django.urls import path

from pods.consumers import PodConsumer

routes = [path("ws/pods/<str:pod_id>/", PodConsumer.as_asgi())]
