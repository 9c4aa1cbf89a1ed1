"""Where Langfuse's web server is and who we are there: the one way over which Hansei reaches it."""

from __future__ import annotations

import base64
import os
import ssl
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "https://cloud.langfuse.com"


_KEYS = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")


def missing_keys() -> list[str]:
    """The settings without which Langfuse's API cannot be asked, as far as they are not made."""
    return [name for name in _KEYS if not os.environ.get(name)]


@dataclass(frozen=True)
class Server:
    """A Langfuse server with the keys of one project."""

    base_url: str
    public_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def from_environment(cls) -> Server | None:
        """What LANGFUSE_BASE_URL (or LANGFUSE_HOST), LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY say.

        None when a key is missing.
        """
        public_key, secret_key = os.environ.get("LANGFUSE_PUBLIC_KEY"), os.environ.get("LANGFUSE_SECRET_KEY")
        base_url = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or DEFAULT_URL
        return cls(base_url.rstrip("/"), public_key, secret_key) if public_key and secret_key else None

    @property
    def address(self) -> str:
        """The base URL, as it may be shown."""
        return shown_address(self.base_url)

    def headers(self) -> dict[str, str]:
        """What the SDK's own requests carry, so that Langfuse treats ours as the SDK's."""
        token = base64.b64encode(f"{self.public_key}:{self.secret_key}".encode()).decode()
        return {
            "Authorization": f"Basic {token}",
            "x-langfuse-sdk-name": "python",
            "x-langfuse-sdk-version": version("langfuse"),
            "x-langfuse-public-key": self.public_key,
            "x-langfuse-ingestion-version": "4",
        }

    def http(self) -> httpx.Client:
        """A client with the SDK's time limit (LANGFUSE_TIMEOUT, 5 s) and the certificates that the environment names.

        Raises:
            ValueError: when LANGFUSE_TIMEOUT is no number.
            OSError: when the file with the certificates cannot be read.
        """
        import httpx

        return httpx.Client(timeout=time_limit(5), verify=verification())


def shown_address(url: str) -> str:
    """A URL without the user, password and query that it may hold, also where it is none."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    # Up to the last of them: a password may hold what ends a host, and is no less a password then.
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def time_limit(default: float) -> float:
    """Seconds that a request may take: LANGFUSE_TIMEOUT, else the default.

    Raises:
        ValueError: when LANGFUSE_TIMEOUT is no number.
    """
    return float(os.environ.get("LANGFUSE_TIMEOUT") or default)


def verification() -> ssl.SSLContext | bool:
    """Which certificates are trusted: those of the file that OpenTelemetry's settings name, else the usual ones.

    Raises:
        OSError: when the file cannot be read.
    """
    authority = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE") or os.environ.get(
        "OTEL_EXPORTER_OTLP_CERTIFICATE"
    )
    return ssl.create_default_context(cafile=authority) if authority else True
