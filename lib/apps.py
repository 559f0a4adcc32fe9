from django.apps import AppConfig


class LibConfig(AppConfig):
    """No models: only template filters and management parts."""

    name = "lib"
