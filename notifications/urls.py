from django.urls import path

from notifications import views

app_name = "notifications"
urlpatterns = [
    path("inbox/", views.show_inbox, name="inbox"),
    path("inbox/read/", views.read_all, name="read-all"),
    path("inbox/<str:message_id>/", views.open_message, name="open"),
    path("mailbox/", views.show_mailbox, name="mailbox"),
    path("mailbox/asked/", views.read_asked_mail, name="asked-mail"),
]
