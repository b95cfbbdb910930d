"""Reads the files that a configuration names: secrets, and the bundle of trusted certificates.

Relative paths start from the folder of the configuration file, and ``~`` is the home folder.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path

from otel_emqx_monitor.config.environment import FromEnvironment
from otel_emqx_monitor.config.errors import Problems
from otel_emqx_monitor.config.values import check_secret
from otel_emqx_monitor.text import printable

_LARGEST_SECRET = 64 * 1024

# Stands where a secret would be if its file were not wrong, so that it is not also missing.
_UNREAD = "unread"


class FileRefused(Exception):
    """A file that cannot be read; the message says why, without its path."""


def read_text(path: Path, largest: int) -> str:
    """Return the text of a UTF-8 file of at most ``largest`` bytes; a byte-order mark is dropped.

    Raises:
        FileRefused: It cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        raise FileRefused(_reason(error)) from None
    if len(content) > largest:
        raise FileRefused(f"it is larger than {largest} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileRefused(f"it is not UTF-8 text (line {line})") from None


def _reason(error: OSError | ValueError) -> str:
    match error:
        case ValueError():  # U+0000, or what the file system's encoding does not have
            return "its path is not one that a file can have"
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "there is no permission to read it"
        case IsADirectoryError():
            return "it is a folder, not a file"
        case _:
            return f"it cannot be read: {error.strerror or type(error).__name__}"


def read_files(emqx: Mapping[str, object], folder: Path, problems: Problems) -> dict[str, object]:
    """Return the section ``emqx`` with secrets read from their files and absolute paths.

    Args:
        emqx: The section, with the environment put in.
        folder: Where relative paths start.
        problems: Where to note files that are missing or unusable.
    """
    section = dict(emqx)
    for name in ("api_key", "api_secret"):
        _fill_secret(section, name, folder, problems)
    bundle = section.get("ssl")
    if isinstance(bundle, str) and bundle.lower() not in ("", "true", "false"):
        try:
            path = _absolute(bundle, folder)
            _check_bundle(path)
            section["ssl"] = str(path)
        except FileRefused as refused:
            wrong = (
                f"must be true, false or the path of a CA bundle; {refused}{_named(bundle, folder)}"
            )
            problems.add(("emqx", "ssl"), wrong)
    return section


def _fill_secret(section: dict[str, object], name: str, folder: Path, problems: Problems) -> None:
    file_key = f"{name}_file"
    # Empty text is not a secret but a variable that was left empty: `${env:API_KEY:-}`.
    for key in (name, file_key):
        if section.get(key) in (None, ""):
            section.pop(key, None)
    if problems.cover(("emqx", file_key)):
        section[name] = _UNREAD
    elif name in section and file_key in section:
        problems.add(("emqx", name), f"is given twice: keep either {name} or {file_key}")
    elif name not in section and file_key not in section:
        problems.add(("emqx", name), f"is required: give {name}, or {file_key} with a file's path")
    elif file_key in section:
        section[name] = _UNREAD
        if isinstance(file := section[file_key], str):
            try:
                path = _absolute(file, folder)
                section |= {name: _secret_in(path), file_key: str(path)}
            except FileRefused as refused:
                problems.add(("emqx", file_key), f"{refused}{_named(file, folder)}")


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


def _check_bundle(path: Path) -> None:
    try:
        if path.is_dir():  # OpenSSL also takes a folder of hashed certificates
            return
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise FileRefused("it holds no certificates in PEM format") from None
    except (OSError, ValueError) as error:
        raise FileRefused(_reason(error)) from None


def _named(text: str, folder: Path) -> str:
    if isinstance(text, FromEnvironment):
        return f" (the path comes from {text.source})"
    path = text if text.startswith("~") else str(folder / text)
    return f": {printable(path, 200)}"
