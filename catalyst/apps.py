from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalystConfig(AppConfig):
    name = "catalyst"
    verbose_name = _("Catalyst")
