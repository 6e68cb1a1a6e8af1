"""Every option of a station, with its default, in one frozen object.

Each is a constructor argument and an environment variable: ``port`` is ``YIAPI_PORT``. What was given on the command
line comes first, then the environment, then the default. A variable that is none of ours, a value that cannot be and a
secret that is short or unreadable are refused with one line, so that a station never runs with another configuration
than the one that was meant.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "YIAPI_"
# Samples of the documents and the acceptance tests use these; they say nothing to a station.
NOT_SETTINGS = frozenset({"YIAPI_API_KEY", "YIAPI_ADMIN_KEY", "YIAPI_FIRST_RUN", "YIAPI_CLAIMED"})

SECRET_CHARACTERS_MIN = 32
SECRET_DISTINCT_MIN = 8

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class SettingsUnusable(ValueError):
    """The configuration cannot be; the text is one line for the operator and holds no secret."""


def load_settings(**options: Any) -> Settings:
    """Return the settings from what was given, the environment and the defaults; ``None`` counts as not given.

    Raises SettingsUnusable.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        raise SettingsUnusable("; ".join(_line(dict(detail)) for detail in error.errors())) from None


def _line(detail: Mapping[str, Any]) -> str:
    text = str(detail["msg"]).removeprefix("Value error, ")
    names = [PREFIX + str(part).upper() for part in detail["loc"][:1]]
    return ": ".join([*names, text])


def _listed(value: Any) -> Any:
    """Read ``a, b`` as two entries."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """The options of one station; the text below each is what the documents say of it."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    # Where it listens and what it keeps.
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8080
    """The port to listen on; 0 takes a free one."""
    data: Path = Field(Path("data"), validate_default=True)
    """The folder of everything that must survive: database, files, secret."""
    database: str | None = Field(None, repr=False)
    """``postgresql://…``; without it an SQLite file in the data folder."""
    redis: str | None = Field(None, repr=False)
    """``redis://…``, to share rates and wake-ups between nodes; nothing that cannot be rebuilt is kept there."""
    assets: str | None = Field(None, repr=False)
    """Where result files are kept: ``s3://bucket/prefix``; without it a folder in the data folder."""
    base_url: str | None = None
    """The public address that links carry; without it host and port."""
    workers: int = Field(1, ge=1, le=256)
    """How many gateway processes share the port."""
    secret: SecretStr | None = None
    """The server secret, at least 32 random characters; without it ``secret`` in the data folder, made there once."""
    permit_host: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Hosts that hooks and fetches may reach although they are private: ``a,b:8000``."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines to write."""

    # The sandbox.
    sandbox: bool = True
    """Whether the station starts its own sandbox."""
    sandbox_port: Port = 8090
    """The sandbox's port; 0 takes a free one."""
    sandbox_task_seconds: float = Field(2.0, ge=0)
    """How long a sandbox task takes."""
    sandbox_limits: bool = False
    """Whether the sandbox's vendors take only as much at a time as real ones, such as three pictures."""
    test_balance_usd: Decimal = Field(Decimal(100), ge=0)
    """The play money of a new account."""

    # Nodes and jobs.
    lease_s: Seconds = 30.0
    """How long a node may be silent before others take its jobs."""
    lease_renew_s: Seconds = 10.0
    """How often a node renews its leases."""
    snapshot_refresh_s: Seconds = 1.0
    """How old keys, channels and prices in memory may be."""
    poll_floor_s: Seconds = 0.5
    """The shortest pause between two looks at a vendor's task."""
    poll_ceiling_s: Seconds = 60.0
    """The longest pause between two looks at a vendor's task."""
    drain_s: float = Field(30.0, ge=0, le=40)
    """How long running work may go on after the station was told to end; the supervisor ends all after 45 s."""
    drain_listen_s: float = Field(5.0, ge=0, le=40)
    """How long new connections are still taken after that, so that a balancer can notice."""

    # Waiting for callers.
    client_header_s: Seconds = 10.0
    """How long a caller may take to send its headers."""
    client_body_s: Seconds = 30.0
    """How long a caller may send nothing of its body."""
    keep_alive_comment_s: Seconds = 15.0
    """The pause after which an idle stream carries a comment line."""
    body_memory_bytes: int = Field(1024 * 1024, ge=1024)
    """The size above which a request body goes to a temporary file."""

    # Waiting for vendors.
    connect_s: Seconds = 5.0
    """How long a connection to a vendor may take."""
    first_byte_s: Seconds = 300.0
    """How long a vendor may take to begin its answer."""
    first_byte_stream_s: Seconds = 120.0
    """The same for a stream."""
    idle_s: Seconds = 60.0
    """How long a vendor may be silent within an answer."""
    total_s: Seconds = 600.0
    """How long a whole answer may take."""
    total_stream_s: Seconds = 1800.0
    """The same for a stream."""

    # How long result files are kept.
    retention_live_days: int = Field(7, ge=1)
    """Days that result files of live keys are kept."""
    retention_test_days: int = Field(1, ge=1)
    """Days that result files of test keys are kept."""

    @model_validator(mode="before")
    @classmethod
    def _only_known_variables(cls, values: Any) -> Any:
        known = {PREFIX + name.upper() for name in cls.model_fields}
        for name in sorted(os.environ):
            if name.upper().startswith(PREFIX) and name.upper() not in known | NOT_SETTINGS:
                close = difflib.get_close_matches(name.upper(), known, n=1)
                raise ValueError(f"{name} is no setting" + (f"; did you mean {close[0]}?" if close else ""))
        return values

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.expanduser().absolute()

    @field_validator("database")
    @classmethod
    def _known_database(cls, url: str) -> str:
        return _with_scheme(url, "sqlite", "postgresql", "postgres")

    @field_validator("redis")
    @classmethod
    def _known_redis(cls, url: str) -> str:
        return _with_scheme(url, "redis", "rediss", "unix")

    @field_validator("assets")
    @classmethod
    def _known_assets(cls, url: str) -> str:
        return _with_scheme(url, "file", "s3")

    @field_validator("base_url")
    @classmethod
    def _plain_base_url(cls, url: str) -> str:
        if urlsplit(url).query or urlsplit(url).fragment or not urlsplit(url).hostname:
            raise ValueError("must be an address like https://station.example without query")
        return _with_scheme(url, "http", "https").rstrip("/")

    @field_validator("secret")
    @classmethod
    def _strong_secret(cls, secret: SecretStr) -> SecretStr:
        _require_strong(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.port == self.sandbox_port != 0 and self.sandbox:
            raise ValueError(f"YIAPI_PORT and YIAPI_SANDBOX_PORT are both {self.port}")
        if self.lease_renew_s >= self.lease_s:
            raise ValueError("YIAPI_LEASE_RENEW_S must be below YIAPI_LEASE_S")
        if self.poll_floor_s > self.poll_ceiling_s:
            raise ValueError("YIAPI_POLL_FLOOR_S must not be above YIAPI_POLL_CEILING_S")
        if self.secret is None:
            _require_usable_file(self.data / "secret")
        return self

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.database or f"sqlite:///{self.data / 'yiapi.db'}"

    @property
    def assets_url(self) -> str:
        """The URL of the place where result files are kept."""
        return self.assets or (self.data / "assets").as_uri()

    @property
    def public_url(self) -> str:
        """The address that links carry, without a slash at the end."""
        return self.base_url or f"http://{_reachable(self.host)}:{self.port}"

    @property
    def sandbox_url(self) -> str | None:
        """The address of the station's own sandbox, if it has one."""
        return f"http://127.0.0.1:{self.sandbox_port}" if self.sandbox else None

    @property
    def permits(self) -> frozenset[str]:
        """The private hosts that every channel, hook and fetch may reach."""
        return frozenset(self.permit_host)

    @property
    def sandbox_permits(self) -> frozenset[str]:
        """The private hosts that sandbox channels and their results may reach besides."""
        return frozenset({f"127.0.0.1:{self.sandbox_port}"}) if self.sandbox else frozenset()

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process read the same settings; the secret is among them."""
        values = self.model_dump(exclude_defaults=True)
        return {PREFIX + name.upper(): _written(value) for name, value in values.items()}


def _with_scheme(url: str, *schemes: str) -> str:
    if urlsplit(url).scheme not in schemes:
        raise ValueError("must begin with " + " or ".join(f"{scheme}://" for scheme in schemes))
    return url


def _require_strong(secret: str) -> None:
    if len(secret) < SECRET_CHARACTERS_MIN or len(set(secret)) < SECRET_DISTINCT_MIN:
        raise ValueError(f"the server secret needs at least {SECRET_CHARACTERS_MIN} random characters")


def _require_usable_file(path: Path) -> None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return  # made at the first start
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the server secret in {path} cannot be read: {error}") from error
    try:
        _require_strong(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _reachable(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _written(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)
