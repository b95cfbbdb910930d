"""Reads one file that somebody has named, or says why not."""

from pathlib import Path

#: What tells a file from what was at its path before; ``None`` when there is none. Of a folder it
#: changes when files come or go.
Identity = tuple[int, int, int, int, int] | None


class FileRefused(Exception):
    """A file that cannot be read; the message says why, without its path."""


def read_text(path: Path, largest: int) -> str:
    """Return the text of a UTF-8 file of at most ``largest`` bytes; a byte-order mark is dropped.

    Raises:
        FileRefused: It cannot be read, is larger, or is not UTF-8.
    """
    content = read_bytes(path, largest)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FileRefused(f"it is not UTF-8 text (line {line})") from None


def read_bytes(path: Path, largest: int) -> bytes:
    """Return the content of a file of at most ``largest`` bytes.

    Raises:
        FileRefused: It cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except (OSError, ValueError) as error:
        raise FileRefused(reason_of(error)) from None
    if len(content) > largest:
        raise FileRefused(f"it is larger than {largest} bytes")
    return content


def reason_of(error: OSError | ValueError) -> str:
    """Return in words why a file cannot be used."""
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


def identity(file: Path) -> Identity:
    """Return what changes when the file at a path is written or another is put in its place."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
