from django.urls import path

from console.consumers import DashboardConsumer, StaffBillingConsumer

routes = [
    path("ws/dashboard/", DashboardConsumer.as_asgi()),
    path("ws/staff/billing/", StaffBillingConsumer.as_asgi()),
]
