from django.urls import path

from enrollment import views, views_deploy

app_name = "enrollment"
urlpatterns = [
    path("plans/", views.show_plans, name="plans"),
    path("checkout/", views.show_checkout, name="checkout"),
    path("checkout/<str:enrolment_id>/pay/", views.pay_again, name="pay"),
    path("checkout/<str:enrolment_id>/returned/", views.returned, name="returned"),
    path("checkout/mail/", views.check_mail, name="check-mail"),
    path("checkout/mail/again/", views.send_key_again, name="send-key"),
    path("activate/", views.show_activate, name="activate"),
    path("provisioning/", views.show_provisioning, name="provisioning"),
    path("provisioning/again/", views.try_again, name="try-again"),
    path("ready/", views.show_ready, name="ready"),
    path("deploy/", views_deploy.show_deploy, name="deploy"),
    path("terms/", views.show_legal, {"page": "terms"}, name="terms"),
    path("privacy/", views.show_legal, {"page": "privacy"}, name="privacy"),
    path("cookies/", views.show_legal, {"page": "cookies"}, name="cookies"),
]
