"""What agents and tests may see of the wrapper's environment: an allow-list, plus who they work for."""

from __future__ import annotations

import os
from collections.abc import Mapping

from shared.contracts.base import current_correlation_id
from worker_wrapper.settings import WrapperSettings

PLAIN_NAMES = frozenset(
    {
        *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SHELL", "TERM", "USER", "LOGNAME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        *("GIT_SSL_CAINFO", "GIT_TERMINAL_PROMPT"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
)
# Package clients: a project's own tests install what it needs.
PLAIN_PREFIXES = ("LC_", "PIP_", "UV_", "NPM_CONFIG_", "npm_config_")
AGENT_PREFIXES = ("ANTHROPIC_", "CLAUDE_CODE_", "FACTORY_", "MOCK_AGENT_")


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what any child may see: nothing of the platform, no provider's key."""
    chosen = {name: value for name, value in environ.items() if name in PLAIN_NAMES or name.startswith(PLAIN_PREFIXES)}
    chosen.setdefault("PATH", os.defpath)
    return chosen


def agent_environment(settings: WrapperSettings, request_id: str, user_id: str | None) -> dict[str, str]:
    """Return what an agent may see: its provider's variables and the identity its command line acts under."""
    extra = {name.strip() for name in settings.environ.get("WORKER_AGENT_ENV", "").split(",") if name.strip()}
    chosen = plain_environment(settings.environ)
    for name, value in settings.environ.items():
        if name.startswith(AGENT_PREFIXES) or name in extra:
            chosen[name] = value
    identity = {
        "WORKER_REQUEST_ID": request_id,
        "WORKER_ID": settings.worker_id,
        "USER_ID": user_id or settings.user_id,
        "CORRELATION_ID": current_correlation_id(),
        "API_URL": settings.api_url,
        "API_TOKEN": settings.api_token,
        "REDIS_URL": settings.redis_url,
    }
    chosen.update({name: value for name, value in identity.items() if value})
    if settings.allowed_commands is not None:
        chosen["ALLOWED_COMMANDS"] = settings.allowed_commands
    if os.getuid() == 0:
        # Claude refuses to skip its permission questions as root unless it is told that somebody else guards it.
        chosen["IS_SANDBOX"] = "1"
    return chosen
