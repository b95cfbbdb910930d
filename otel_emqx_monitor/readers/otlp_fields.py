"""Fields of protobuf messages, and attributes as such fields.

They are what is the same from push to push, so the bytes of attributes are made once.
"""

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from otel_emqx_monitor.columns import Labels

_ATTRIBUTE = b"\x3a"  # NumberDataPoint 7

_MAKE_VALUE: tuple[tuple[type, Callable[[Any], AnyValue]], ...] = (
    (str, lambda value: AnyValue(string_value=value)),
    (bool, lambda value: AnyValue(bool_value=value)),  # Python counts it among the integers
    (int, lambda value: AnyValue(int_value=value)),
    (float, lambda value: AnyValue(double_value=value)),
    (bytes, lambda value: AnyValue(bytes_value=value)),
)


def attribute_bytes(labels: Labels) -> bytes:
    """Return the attributes as fields of a data point, made once for each ``Labels``."""
    if labels.otlp is None:
        labels.otlp = b"".join(
            field(_ATTRIBUTE, KeyValue(key=name, value=_any_value(value)).SerializeToString())
            for name, value in labels.items()
        )
    return labels.otlp


def _any_value(value: object) -> AnyValue:
    for kind, make in _MAKE_VALUE:
        if isinstance(value, kind):
            return make(value)
    if isinstance(value, Sequence):
        return AnyValue(array_value=ArrayValue(values=[_any_value(one) for one in value]))
    return AnyValue(string_value=str(value))


def field(tag: bytes, content: bytes) -> bytes:
    """Return a field that has a length: a text, bytes or a message."""
    return tag + varint(len(content)) + content


def _encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


#: The lengths of most messages, so that encoding a point looks up its length.
_VARINTS = [_encode_varint(number) for number in range(1 << 12)]


def varint(number: int) -> bytes:
    """Return a number that is not negative as protobuf writes lengths."""
    return _VARINTS[number] if number < len(_VARINTS) else _encode_varint(number)
