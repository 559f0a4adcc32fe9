from django.urls import path

from accounts import views, views_organisation

app_name = "accounts"
urlpatterns = [
    path("settings/", views.show_account, name="account"),
    path("settings/security/", views.show_security, name="security"),
    path("settings/security/sign-ins/<str:sign_in_id>/end/", views.end_sign_in, name="end-sign-in"),
    path("settings/organisation/", views_organisation.show_organisation, name="organisation"),
    path("settings/organisation/new/", views_organisation.add_organisation, name="add-organisation"),
    path("settings/organisation/leave/", views_organisation.leave_organisation, name="leave-organisation"),
    path("settings/members/", views_organisation.show_members, name="members"),
    path("settings/members/<str:member_id>/role/", views_organisation.change_role, name="change-role"),
    path("settings/members/<str:member_id>/remove/", views_organisation.remove_member, name="remove-member"),
    path(
        "settings/invitations/<str:invitation_id>/revoke/",
        views_organisation.revoke_invitation,
        name="revoke-invitation",
    ),
    path("settings/keys/", views_organisation.show_keys, name="api-keys"),
    path("settings/keys/<str:key_id>/revoke/", views_organisation.revoke_key, name="revoke-key"),
    path("settings/audit/", views_organisation.show_audit, name="audit"),
    path("invitations/<str:token>/", views_organisation.accept_invitation, name="accept-invitation"),
    path("organisations/switch/", views.switch_organisation, name="switch-organisation"),
    path("staff/act-for/", views.begin_acting, name="act-for"),
    path("staff/act-for/end/", views.end_acting, name="end-acting"),
]
