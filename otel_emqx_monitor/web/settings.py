"""The web configuration file: TLS and passwords in the format of Prometheus' exporter-toolkit.

The format is that of https://github.com/prometheus/exporter-toolkit, docs/web-configuration.md, so
that the file which people have for their exporters works here. What Python cannot honour is
refused, never weakened in silence:

* ``client_auth_type`` ``RequestClientCert``, ``RequireAnyClientCert`` and ``RequireClientCert``
  take certificates that nobody has signed; Python's ``ssl`` always verifies what it asks for;
* ``TLS10`` and ``TLS11`` are given up (RFC 8996), and OpenSSL does not offer them any more;
* of ``curve_preferences`` Python can set one;
* ``rate_limit``: ``prometheus.max_connections`` bounds what strangers may cost.

``http2`` may be on or off: a client that finds HTTP/1.1 alone uses that.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from otel_emqx_monitor.config.document import parse
from otel_emqx_monitor.config.errors import Location, Problems
from otel_emqx_monitor.config.explain import rule
from otel_emqx_monitor.config.reading import FileRefused, read_text
from otel_emqx_monitor.config.section import Section
from otel_emqx_monitor.text import printable

_LARGEST_FILE: Final = 1024 * 1024

#: A check of a cost of 16 takes seconds; each step doubles it, and 31 is a week.
_HIGHEST_COST: Final = 16

_HASH = re.compile(r"\$2[abxy]?\$(\d\d)\$[./A-Za-z0-9]{53}")

#: The toolkit's list; with the values that are allowed, if not all are.
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Strict-Transport-Security": (),
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("deny", "sameorigin"),
        "X-XSS-Protection": (),
        "Content-Security-Policy": (),
    }
)

# Visible ASCII and spaces (RFC 9110, section 5.5): what is no header's end.
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

#: Go's names of cipher suites for OpenSSL: those of TLS 1.3, which cannot be chosen in Go either,
#: and those of TLS 1.2 that Go's ``tls.CipherSuites`` has.
TLS13_SUITES: Final = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
SUITES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
)
CURVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CurveP256": "prime256v1",
        "CurveP384": "secp384r1",
        "CurveP521": "secp521r1",
        "X25519": "X25519",
    }
)

_ANY_CERTIFICATE = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_VERIFIED = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")


def _check_version(version: str) -> str:
    if version in ("TLS10", "TLS11"):
        raise ValueError(f"{version} is given up (RFC 8996) and not offered; use TLS12 or TLS13")
    if version not in ("TLS12", "TLS13"):
        raise ValueError("must be TLS12 or TLS13")
    return version


def _check_suites(suites: tuple[str, ...]) -> tuple[str, ...]:
    for suite in suites:
        if suite not in SUITES and suite not in TLS13_SUITES:
            raise ValueError(f"has {printable(suite, 60)}, which is not one that is offered")
    return suites


def _check_curves(curves: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [curve for curve in curves if curve not in CURVES]:
        raise ValueError(f"has {printable(unknown[0], 60)}; known are {', '.join(CURVES)}")
    if len(curves) > 1:
        raise ValueError("has more than one; Python can set one: keep the one you want, or none")
    return curves


def _check_client_auth(kind: str) -> str:
    if kind in _ANY_CERTIFICATE:
        raise ValueError(
            f"{kind} would take certificates that nobody has signed, which Python's ssl does not;"
            " use RequireAndVerifyClientCert with client_ca_file"
        )
    if kind not in ("", "NoClientCert", *_VERIFIED):
        raise ValueError(f"must be one of NoClientCert, {', '.join(_VERIFIED)}")
    return kind


def _check_hash(hashed: SecretStr) -> SecretStr:
    found = _HASH.fullmatch(hashed.get_secret_value())
    if not found:
        raise ValueError("must be a password's bcrypt hash, as in $2y$10$…; htpasswd -nB makes one")
    if not 4 <= int(found[1]) <= _HIGHEST_COST:
        raise ValueError(
            f"has a cost of {int(found[1])}; it must be 4 to {_HIGHEST_COST}, else one check takes"
            " too long"
        )
    return hashed


_Version = Annotated[str, AfterValidator(_check_version)]


class TlsServerConfig(Section):
    """The section ``tls_server_config``; paths are absolute."""

    cert: str = ""
    key: SecretStr = SecretStr("")
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: Annotated[str, AfterValidator(_check_client_auth)] = ""
    client_allowed_sans: tuple[str, ...] | None = None
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"
    cipher_suites: Annotated[tuple[str, ...], AfterValidator(_check_suites)] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[str, ...], AfterValidator(_check_curves)] = ()

    @property
    def client_certificates(self) -> Literal["none", "optional", "required"]:
        """Whether a client has to show a certificate that ``client_ca`` has signed."""
        if self.client_auth_type == "RequireAndVerifyClientCert":
            return "required"
        return "optional" if self.client_auth_type in _VERIFIED else "none"

    @property
    def on(self) -> bool:
        """Whether TLS is asked for, as the toolkit sees it: versions and ciphers alone do not."""
        given = (self.cert, self.key.get_secret_value(), self.client_ca, self.client_auth_type)
        return any(given) or any((self.cert_file, self.key_file, self.client_ca_file))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        named = (self.cert_file, self.key_file, self.client_ca_file)
        return tuple(Path(one) for one in named if one)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.on:
            return self
        key = self.key.get_secret_value()
        for name, text, file in (("cert", self.cert, self.cert_file), ("key", key, self.key_file)):
            if not text and not file:
                raise ValueError(f"needs {name}_file or {name}")
        for name, text, file in (
            ("cert", self.cert, self.cert_file),
            ("key", key, self.key_file),
            ("client_ca", self.client_ca, self.client_ca_file),
        ):
            if text and file:
                raise ValueError(f"has {name} and {name}_file; keep one")
        self._check_clients()
        if (self.min_version, self.max_version) == ("TLS13", "TLS12"):
            raise ValueError("has a min_version above its max_version")
        if self.max_version == "TLS12" and self.cipher_suites and not self.suites:
            raise ValueError("has cipher_suites of TLS 1.3 alone, and a max_version of TLS12")
        return self

    def _check_clients(self) -> None:
        signers = bool(self.client_ca or self.client_ca_file)
        if signers and self.client_certificates == "none":
            raise ValueError(
                "has certificates of a client CA, but clients are not asked for theirs; set"
                " client_auth_type to RequireAndVerifyClientCert"
            )
        if not signers and self.client_certificates != "none":
            raise ValueError(f"has client_auth_type {self.client_auth_type}; give client_ca_file")
        if self.client_allowed_sans is not None and self.client_certificates != "required":
            raise ValueError(
                "has client_allowed_sans, which a client without a certificate would pass; set"
                " client_auth_type to RequireAndVerifyClientCert"
            )

    @property
    def suites(self) -> tuple[str, ...]:
        """OpenSSL's names of the cipher suites of TLS 1.2."""
        return tuple(SUITES[suite] for suite in self.cipher_suites if suite in SUITES)


class HttpServerConfig(Section):
    """The section ``http_server_config``."""

    http2: bool = True
    headers: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("headers")
    @classmethod
    def _known(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            allowed = _HEADERS.get(name)
            if allowed is None:
                raise ValueError(
                    f"has {printable(name, 60)}; only {', '.join(_HEADERS)} may be set"
                )
            if allowed and value not in allowed:
                raise ValueError(f"has {name}, which must be {' or '.join(allowed)}")
            if value and not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"has {name}, which must be one line of printable ASCII")
        return MappingProxyType({name: value for name, value in headers.items() if value})


class WebConfig(Section):
    """A whole web configuration file."""

    tls_server_config: TlsServerConfig = Field(default_factory=TlsServerConfig)
    http_server_config: HttpServerConfig = Field(default_factory=HttpServerConfig)
    basic_auth_users: Mapping[str, Annotated[SecretStr, AfterValidator(_check_hash)]] = Field(
        default_factory=dict
    )

    @field_validator("basic_auth_users")
    @classmethod
    def _carried(cls, users: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        # RFC 7617, section 2: the first colon ends the user name.
        if any(":" in user for user in users):
            raise ValueError("has a user name with ':', which HTTP Basic cannot carry")
        return MappingProxyType(dict(users))


def read_web_config(path: Path) -> WebConfig:
    """Return what a web configuration file says; relative paths in it start from its folder.

    Raises:
        FileRefused: it cannot be read, or something in it is wrong; the message names all of it,
            and no secret.
    """
    problems = Problems()
    document = parse(read_text(path, _LARGEST_FILE), problems)
    if document is None and not problems:
        document = {}
    config = None
    if isinstance(document, dict):
        config = _validated(_with_paths(document, path.parent), problems)
    elif not problems:
        problems.add((), "must be a mapping (lines of 'key: value')")
    if config is None or problems:
        raise FileRefused("; ".join(map(str, problems.listed())))
    return config


def _with_paths(document: Mapping[str, object], folder: Path) -> dict[str, object]:
    """Return the document without what is left empty, and with absolute paths."""
    values = {
        key: {name: item for name, item in value.items() if item is not None}
        if isinstance(value, dict) and key != "basic_auth_users"
        else value
        for key, value in document.items()
        if value is not None
    }
    tls = values.get("tls_server_config")
    if isinstance(tls, dict):
        for key in ("cert_file", "key_file", "client_ca_file"):
            if isinstance(file := tls.get(key), str) and file:
                tls[key] = str((folder / file).absolute())
    return values


def _validated(values: Mapping[str, object], problems: Problems) -> WebConfig | None:
    try:
        return WebConfig.model_validate(values)
    except ValidationError as error:
        for finding in error.errors(include_url=False):
            where = tuple(part for part in finding["loc"] if part != "[key]")
            if not problems.cover(where):
                unknown = finding["type"] == "extra_forbidden"
                problems.add(where, _unknown(where) if unknown else rule(finding))
    return None


def _unknown(where: Location) -> str:
    if where == ("rate_limit",):
        return "is not supported; prometheus.max_connections bounds what strangers may cost"
    return "is not a known key"
