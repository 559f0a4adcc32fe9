"""All settings of GPUBroker. Values come from the environment; README has the table."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.admin_look import UNFOLD as UNFOLD  # read by the admin
from config.environment import BASE_DIR, env, env_bool, env_list, find_state_dir, load_run_env
from lib.secrets import read_or_make_secret

STATE_DIR = find_state_dir()
load_run_env(STATE_DIR)

MODE = env("MODE", "SANDBOX").upper()
if MODE not in {"SANDBOX", "LIVE"}:
    raise ImproperlyConfigured(f"MODE is {MODE!r}; it can be SANDBOX or LIVE.")
SANDBOX = MODE == "SANDBOX"
DEBUG = env_bool("DEBUG", False)
PUBLIC_URL = env("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
HTTPS = PUBLIC_URL.startswith("https://")
PUBLIC_HOST = urlsplit(PUBLIC_URL).hostname or "127.0.0.1"

SECRETS_DIR = STATE_DIR / "secrets"
SECRET_KEY = env("SECRET_KEY") or read_or_make_secret(SECRETS_DIR / "secret_key")
FIELD_KEYS = env_list("FIELD_KEYS") or [read_or_make_secret(SECRETS_DIR / "field_key", kind="fernet")]
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", f"{PUBLIC_HOST},127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.github",
    "allauth.mfa",
    "axes",
    "channels",
    "csp",
    "django_htmx",
    "django_prometheus",
    "ninja",
    "lib",
    "accounts",
    "notifications",
    "billing",
    "marketplace",
    "pods",
    "catalyst",
    "enrollment",
    "console",
    "config",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.ActorMiddleware",
    "config.errors.AppErrorMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.page",
            ],
            "builtins": ["lib.templatetags.numbers", "lib.templatetags.pages"],
        },
    }
]


def database_from_url(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "127.0.0.1",
        "PORT": str(parts.port or 5432),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"options": "-c lock_timeout=5000 -c statement_timeout=60000 -c TimeZone=UTC"},
    }


DATABASE_URL = env("DATABASE_URL", "postgresql://gpubroker@127.0.0.1:5432/gpubroker")
DATABASES = {"default": database_from_url(DATABASE_URL)}
REDIS_URL = env("REDIS_URL", "redis://127.0.0.1:6379/0")

CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 2, "SOCKET_TIMEOUT": 2},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # redis-py 8 closes an idle subscription after 5 s unless the socket has no time limit.
            "hosts": [{"address": REDIS_URL, "socket_timeout": None, "max_connections": 5000}],
        },
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTH_PASSWORD_VALIDATORS[1]["OPTIONS"] = {"min_length": 10}  # type: ignore[assignment]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/dashboard/"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapter.SocialAccountAdapter"
ACCOUNT_FORMS = {"signup": "accounts.forms.SignupForm"}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = False
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_ADAPTER = "accounts.adapter.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = False
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    name: {"APPS": [{"client_id": client_id, "secret": env(f"{name.upper()}_CLIENT_SECRET")}]}
    for name in ("google", "github")
    if (client_id := env(f"{name.upper()}_CLIENT_ID"))
}
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_ENABLE_ADMIN = False  # its tables stay empty: what it counts is in the cache
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_CLIENT_IP_CALLABLE = "lib.rate.client_address"
AXES_LOCKOUT_CALLABLE = "config.errors.locked_out"
# What other parts do when somebody signs up, and when they confirm their address: called in the same transaction.
ON_SIGN_UP = [
    "notifications.mailbox.remember_new_person",
    "billing.referrals.keep_after_sign_up",
    "enrollment.drafts.keep_after_sign_up",
]
ON_PASSWORD_ASKED = ["notifications.mailbox.remember_asked_mail"]
ON_EMAIL_CONFIRMED = ["billing.credits.grant_signup_credits"]
# Raises Forbidden when the plan of an organisation does not allow one more: billing stands above accounts.
REQUIRE_ENTITLEMENT = "billing.plans.require_entitlement"
JWT_ACCESS_SECONDS = 15 * 60
JWT_REFRESH_SECONDS = 30 * 24 * 3600

# Mail is a row first. In SANDBOX each person reads theirs under /mailbox/; else a worker hands it to the service, which
# the outbox asks again: its client need not.
EMAIL_BACKEND = "notifications.channels.email.EmailBackend"
EMAIL_SERVICE_BACKEND = env("EMAIL_BACKEND", "" if SANDBOX else "anymail.backends.amazon_ses.EmailBackend")
EMAIL_TIMEOUT = 20
_SES_CLIENT = {"connect_timeout": EMAIL_TIMEOUT, "read_timeout": EMAIL_TIMEOUT, "retries": {"total_max_attempts": 1}}
ANYMAIL = {"REQUESTS_TIMEOUT": EMAIL_TIMEOUT, "AMAZON_SES_CLIENT_PARAMS": {"config": _SES_CLIENT}}
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", "GPUBroker <hello@gpubroker.example>")

# Providers and payment services. A provider is added by its dotted path; each gets its address and platform key here.
PROVIDERS = {
    "catalyst": "catalyst.provider.Adapter",
    "vast": "marketplace.providers.vast.adapter.Adapter",
    "runpod": "marketplace.providers.runpod.adapter.Adapter",
    "lambda_labs": "marketplace.providers.lambda_labs.adapter.Adapter",
    "akash": "marketplace.providers.akash.adapter.Adapter",
}
PROVIDER_URLS = {
    "vast": env("VAST_URL", "https://console.vast.ai"),
    "runpod": env("RUNPOD_URL", "https://api.runpod.io"),
    "lambda_labs": env("LAMBDA_URL", "https://cloud.lambda.ai"),
    "akash": env("AKASH_URL", "https://console-api.akash.network"),
}
PROVIDER_KEYS = {
    "vast": env("VAST_API_KEY"),
    "runpod": env("RUNPOD_API_KEY"),
    "lambda_labs": env("LAMBDA_API_KEY"),
    "akash": env("AKASH_API_KEY"),
}
# A key that may do no more than ce:GetCostAndUsage: the staff page of costs shows what AWS charges.
AWS_COST_KEY_ID = env("AWS_COST_KEY_ID")
AWS_COST_SECRET = env("AWS_COST_SECRET")
AWS_COST_URL = env("AWS_COST_URL")  # by default where AWS answers
# What the nightly reconciliation compares beside billing's own sources: functions of higher apps that answer them.
COMPARED_ELSEWHERE = ["pods.provider_bills.comparisons"]
PAYPAL_URL = env("PAYPAL_URL", "https://api-m.paypal.com")
PAYPAL_CLIENT_ID = env("PAYPAL_CLIENT_ID")
PAYPAL_CLIENT_SECRET = env("PAYPAL_CLIENT_SECRET")
PAYPAL_WEBHOOK_ID = env("PAYPAL_WEBHOOK_ID")
STRIPE_URL = env("STRIPE_URL", "https://api.stripe.com")
STRIPE_SECRET_KEY = env("STRIPE_SECRET_KEY")
STRIPE_PUBLISHABLE_KEY = env("STRIPE_PUBLISHABLE_KEY")
STRIPE_WEBHOOK_SECRET = env("STRIPE_WEBHOOK_SECRET")
STRIPE_JS_URL = env("STRIPE_JS_URL", "https://js.stripe.com/v3/")
# USDC: the nodes of each chain by its name in `billing.chain.networks`, several separated by commas. A deposit is
# credited when all of them agree on it. Money of a test network is never that of a real one.
_CHAIN_NODES = (
    {"sandbox": "CHAIN_URL", "sepolia": "SEPOLIA_RPC_URLS", "amoy": "AMOY_RPC_URLS"}
    if SANDBOX
    else {"ethereum": "ETHEREUM_RPC_URLS", "polygon": "POLYGON_RPC_URLS"}
)
CHAINS = {chain: nodes for chain, variable in _CHAIN_NODES.items() if (nodes := env_list(variable))}
CHAIN_KEY_FILE = SECRETS_DIR / "treasury_key"  # signs withdrawals; made at the first use
CHAIN_TREASURY = env("TREASURY_ADDRESS")  # where deposits go; the signer's own address by default
WITHDRAWAL_DELAY = timedelta(minutes=1) if SANDBOX else timedelta(hours=24)  # for an address that is new to us
# Payouts to owners and operators. A method that is new waits, so that its owner can object; a large sum is looked at.
PAYOUT_METHOD_DELAY = timedelta(minutes=1) if SANDBOX else timedelta(hours=24)
PAYOUT_APPROVAL_ABOVE = Decimal(env("PAYOUT_APPROVAL_ABOVE", "2500"))  # USD in a week that nobody has looked at
# Our own account, from which bank files pay. SANDBOX: the example in the registry of IBANs.
PAYOUT_IBAN = env("PAYOUT_IBAN", "DE89370400440532013000" if SANDBOX else "")
PAYOUT_BIC = env("PAYOUT_BIC", "COBADEFFXXX" if SANDBOX else "")
FORCE_COUNTRY = env("GPUBROKER_FORCE_COUNTRY")
# Who sells, as it stands on invoices. Lines of the address are parted by semicolons; the country is ISO 3166-1.
SELLER = {
    "name": env("SELLER_NAME", "GPUBroker"),
    "address": env("SELLER_ADDRESS").replace(";", "\n"),
    "country": env("SELLER_COUNTRY", "EC").upper(),
    "tax_id": env("SELLER_TAX_ID"),
}
# Compute credits for each side of a referral: both together less than the cheapest month, or they would be farmed.
REFERRAL_CREDITS = Decimal(env("REFERRAL_CREDITS", "10"))
# What a dispute asks of those who stand above billing: what was paid for a pod to whom, and what their records say.
DISPUTED_USAGE = "pods.claims.find_claims"
DISPUTE_RECORDS = ["pods.claims.records_of", "catalyst.claims.records_of"]

# Files and Catalyst
FILES_DIR = STATE_DIR / "files"
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": FILES_DIR}},
    "chunks": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": FILES_DIR / "chunks"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
EXPECT_NODES = env("NODES", "0") != "0"
NODE_BEAT_SECONDS = 1.0
NODE_LEASE_SECONDS = 6.0

# Pages
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español")]  # each in its own words
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Where `collectstatic` writes for a front proxy; on one machine WhiteNoise serves the folders themselves.
STATIC_ROOT = env("STATIC_ROOT") or None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Security
BEHIND_PROXY = env_bool("BEHIND_PROXY", False)  # one that we trust, and that appends to X-Forwarded-For
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
METRICS_TOKEN = env("METRICS_TOKEN")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024 * 1024
# Where a button "Go on with …" leads.
SIGN_IN_SERVICES = [
    address
    for name, address in {"google": "https://accounts.google.com", "github": "https://github.com"}.items()
    if name in SOCIALACCOUNT_PROVIDERS
]
# Where a form that pays may lead: PayPal's page, the page of a card's bank.
PAYMENT_PAGES = [
    PAYPAL_URL,
    "https://www.paypal.com",
    STRIPE_URL,
    "https://hooks.stripe.com",
    "https://connect.stripe.com",
]
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "EXCLUDE_URL_PREFIXES": ["/admin/", "/api/v2/docs", "/api/v2/redoc"],
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'", *PAYMENT_PAGES, *SIGN_IN_SERVICES],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "manifest-src": ["'self'"],
    },
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    },
}
