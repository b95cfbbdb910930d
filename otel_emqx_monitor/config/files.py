"""Reads the files that a configuration names, and makes their paths absolute.

Relative paths start from the folder of the configuration file, and ``~`` is the home folder.
"""

import ssl
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.errors import Location, Problems
from otel_emqx_monitor.config.reading import FileRefused, read_bytes, read_text, reason_of
from otel_emqx_monitor.config.values import check_secret
from otel_emqx_monitor.text import printable

_LARGEST_SECRET = 64 * 1024

# Stands where a secret would be if its file were not wrong, so that it is not also missing.
_UNREAD = "unread"


def read_files(values: Mapping[str, object], folder: Path, problems: Problems) -> dict[str, object]:
    """Return the configuration with secrets read from their files, and with absolute paths.

    Args:
        values: The sections, with the environment put in.
        folder: Where relative paths start.
        problems: Where to note files that are missing or unusable.
    """
    read = dict(values)
    fillers = {
        "emqx": _emqx_with_files,
        "prometheus": _prometheus_with_files,
        "state": _state_with_file,
        "events": _events_with_files,
        "otlp": _with_tls_files,
    }
    for name, fill in fillers.items():
        if isinstance(section := values.get(name), dict):
            read[name] = fill(section, _Place((name,), folder, problems))
    return read


class _Place(NamedTuple):
    """Where a section stands, where its relative paths start, and where to note problems."""

    where: Location
    folder: Path
    problems: Problems

    def within(self, key: str) -> "_Place":
        return self._replace(where=(*self.where, key))

    def refuse(self, key: str, refused: FileRefused, file: str, rule: str = "") -> None:
        self.problems.add((*self.where, key), f"{rule}{refused}{_named(file, self.folder)}")


def _emqx_with_files(emqx: Mapping[str, object], place: _Place) -> dict[str, object]:
    section = dict(emqx)
    for name in ("api_key", "api_secret"):
        _fill_secret(section, name, place)
    bundle = section.get("ssl")
    if isinstance(bundle, str) and bundle.lower() not in ("", "true", "false"):
        try:
            path = _absolute(bundle, place.folder)
            _check_bundle(path)
            section["ssl"] = str(path)
        except FileRefused as refused:
            place.refuse("ssl", refused, bundle, "must be true, false or the path of a CA bundle; ")
    return section


def _fill_secret(
    section: dict[str, object], name: str, place: _Place, *, required: bool = True
) -> None:
    file_key = f"{name}_file"
    problems, at = place.problems, (*place.where, name)
    # Empty text is not a secret but a variable that was left empty: `${env:API_KEY:-}`.
    for key in (name, file_key):
        if section.get(key) in (None, ""):
            section.pop(key, None)
    if problems.cover((*place.where, file_key)):
        section[name] = _UNREAD
    elif name in section and file_key in section:
        problems.add(at, f"is given twice: keep either {name} or {file_key}")
    elif name not in section and file_key not in section:
        if required:
            problems.add(at, f"is required: give {name}, or {file_key} with a file's path")
    elif file_key in section:
        section[name] = _UNREAD
        if isinstance(file := section[file_key], str):
            try:
                path = _absolute(file, place.folder)
                section |= {name: _secret_in(path), file_key: str(path)}
            except FileRefused as refused:
                place.refuse(file_key, refused, file)


def _prometheus_with_files(prometheus: Mapping[str, object], place: _Place) -> dict[str, object]:
    section = dict(prometheus)
    _fill_path(section, "web_config_file", place, _check_web_config)
    return section


def _state_with_file(state: Mapping[str, object], place: _Place) -> dict[str, object]:
    section = dict(state)
    _fill_path(section, "path", place, _check_place)
    return section


def _events_with_files(events: Mapping[str, object], place: _Place) -> dict[str, object]:
    section = dict(events)
    if isinstance(given := section.get("webhook"), dict):
        section["webhook"] = webhook = dict(given)
        _fill_secret(webhook, "token", place.within("webhook"))
    if isinstance(given := section.get("mqtt"), dict):
        within = place.within("mqtt")
        section["mqtt"] = mqtt = _with_tls_files(given, within)
        _fill_secret(mqtt, "password", within, required=False)
        if place.problems.cover((*within.where, "username")):
            mqtt["username"] = _UNREAD  # what is wrong with it is no reason to miss it
    return section


def _with_tls_files(given: Mapping[str, object], place: _Place) -> dict[str, object]:
    section = dict(given)
    _fill_path(section, "ca_file", place, _check_certificates)
    certificate = _fill_path(section, "client_certificate_file", place, _check_certificates)
    _fill_path(section, "client_key_file", place, partial(_check_key, certificate=certificate))
    return section


def _fill_path(
    section: dict[str, object], key: str, place: _Place, check: Callable[[Path], None]
) -> Path | None:
    """Make a path absolute and return it; ``None`` where there is none, or a wrong one."""
    file = section.get(key)
    if file in (None, ""):
        section.pop(key, None)
    elif isinstance(file, str):
        try:
            path = _absolute(file, place.folder)
            check(path)
            section[key] = str(path)
        except FileRefused as refused:
            place.refuse(key, refused, file)
        else:
            return path
    return None


def _absolute(text: str, folder: Path) -> Path:
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        raise FileRefused("the home folder that '~' stands for is not known") from None


def _secret_in(path: Path) -> str:
    text = read_text(path, _LARGEST_SECRET)
    secret = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    try:
        check_secret(secret)
    except ValueError as error:
        raise FileRefused(f"its content {error}") from None
    return secret


def _check_place(path: Path) -> None:
    """Refuse a path at which no file can be; whether it can be written shows when it is opened."""
    missing = FileRefused("its folder does not exist; create it, or name a file elsewhere")
    try:
        if not S_ISDIR(path.parent.stat().st_mode):
            raise missing
        if path.is_dir():
            raise FileRefused("it is a folder; name a file in it")
    except (FileNotFoundError, NotADirectoryError):
        raise missing from None
    except (OSError, ValueError) as error:
        raise FileRefused(reason_of(error)) from None


def _check_web_config(path: Path) -> None:
    from otel_emqx_monitor.web.live import LiveWebConfig  # takes long, and few need it

    LiveWebConfig(path)


def _check_bundle(path: Path) -> None:
    try:
        if path.is_dir():  # OpenSSL also takes a folder of hashed certificates
            return
    except OSError as error:
        raise FileRefused(reason_of(error)) from None
    _check_certificates(path)


def _check_certificates(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise FileRefused("it holds no certificates in PEM format") from None
    except (OSError, ValueError) as error:
        raise FileRefused(reason_of(error)) from None


def _check_key(path: Path, certificate: Path | None) -> None:
    content = read_bytes(path, _LARGEST_SECRET)
    if b"PRIVATE KEY-----" not in content:
        raise FileRefused("it holds no private key in PEM format")
    if b"ENCRYPTED" in content:  # PKCS #8, or the header of the older format
        raise FileRefused("its key is encrypted; give one without a passphrase")
    if certificate is None:
        return
    try:
        # The empty password keeps OpenSSL from asking for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, path, password="")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise FileRefused("its key is not that of client_certificate_file") from None
        reason = f" ({error.reason})" if error.reason else ""
        raise FileRefused(f"OpenSSL cannot use it with client_certificate_file{reason}") from None
    except OSError as error:
        raise FileRefused(reason_of(error)) from None


def _named(text: str, folder: Path) -> str:
    if isinstance(text, FromEnvironment):
        return f" (the path comes from {text.source})"
    path = text if text.startswith("~") else str(folder / text)
    return f": {printable(path, 200)}"
