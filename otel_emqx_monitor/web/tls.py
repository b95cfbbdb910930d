"""Server-side TLS of a web configuration file as Python's ``ssl`` does it."""

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otel_emqx_monitor.config.reading import FileRefused, read_text
from otel_emqx_monitor.web.settings import CURVES, TlsServerConfig

_LARGEST_PEM = 4 * 1024 * 1024

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_MODES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def make_context(tls: TlsServerConfig) -> ssl.SSLContext:
    """Return a context for new connections, with what the files hold now.

    Raises:
        FileRefused: a file cannot be read, holds no PEM, or the key is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    minimum = tls.min_version
    if tls.cipher_suites and not tls.suites:
        minimum = "TLS13"  # what has no suite left of TLS 1.2 does not speak it
    context.minimum_version = _VERSIONS[minimum]
    context.maximum_version = _VERSIONS[tls.max_version]
    if tls.suites:
        context.set_ciphers(":".join(tls.suites))
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, tls)
    if tls.client_certificates != "none":
        _load_signers(context, tls)
        context.verify_mode = _MODES[tls.client_certificates]
    if tls.client_allowed_sans is not None:
        context.sslobject_class = _checking(frozenset(tls.client_allowed_sans))
    return context


def _load_certificate(context: ssl.SSLContext, tls: TlsServerConfig) -> None:
    certificate = _pem(tls.cert, tls.cert_file, "cert")
    key = _pem(tls.key.get_secret_value(), tls.key_file, "key")
    if "ENCRYPTED" in key:  # PKCS #8, or the header of the older format
        raise FileRefused(f"{_name('key', tls.key_file)} is encrypted; give one without passphrase")
    with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
        try:
            # The empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(certificate_file, key_file, password="")
        except ssl.SSLError as error:
            names = f"{_name('cert', tls.cert_file)} and {_name('key', tls.key_file)}"
            raise FileRefused(
                f"OpenSSL cannot use {names} ({error.reason or 'not PEM'}); give a certificate in"
                " PEM format and its own key"
            ) from None


def _load_signers(context: ssl.SSLContext, tls: TlsServerConfig) -> None:
    signers = _pem(tls.client_ca, tls.client_ca_file, "client_ca")
    try:
        context.load_verify_locations(cadata=signers)
    except (ssl.SSLError, ValueError):
        name = _name("client_ca", tls.client_ca_file)
        raise FileRefused(f"{name} holds no certificates in PEM format") from None


def _pem(text: str, file: str, key: str) -> str:
    if not file:
        return text
    try:
        return read_text(Path(file), _LARGEST_PEM)
    except FileRefused as refused:
        raise FileRefused(f"{_name(key, file)}: {refused}") from None


def _name(key: str, file: str) -> str:
    return f"tls_server_config.{key}_file {file}" if file else f"tls_server_config.{key}"


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Give the path of a file that holds ``text`` for the length of the block.

    ``load_cert_chain`` takes nothing else. Where there is a choice the file is in memory alone:
    the text may be a key, and the file system read-only.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem")
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 (it has no path)
            file.write(text.encode())
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # which nobody else may read
            file.write(text.encode())
            file.flush()
            yield file.name


def _checking(allowed: frozenset[str]) -> type[ssl.SSLObject]:
    class Checking(ssl.SSLObject):
        """Ends the handshake with a client that none of the allowed names is for."""

        def do_handshake(self) -> None:
            super().do_handshake()
            if not allowed & names(self.getpeercert() or {}):
                raise ssl.SSLCertVerificationError("no allowed name in the client's certificate")

    return Checking


def names(certificate: Mapping[str, object]) -> frozenset[str]:
    """Return the subject alternative names of what ``getpeercert`` says, as Go writes them.

    DNS names, e-mail addresses, URIs, and IP addresses in their short form.
    """
    found = certificate.get("subjectAltName", ())
    entries = found if isinstance(found, tuple) else ()
    return frozenset(
        _short(value) if kind == "IP Address" else value
        for kind, value in entries
        if kind in {"DNS", "email", "URI", "IP Address"}
    )


def _short(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        return ""
