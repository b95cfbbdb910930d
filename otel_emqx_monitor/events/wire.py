"""The types that values in EMQX's events have to have."""

from typing import Annotated, Final

import msgspec

#: MQTT 5.0, section 1.5.4: a string is at most 65,535 bytes and holds no U+0000.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=65_535, pattern=r"\A[^\x00]*\Z")]
Username = Annotated[str, msgspec.Meta(max_length=65_535)]

#: A node, a reason or an id of a message; Erlang's atoms have 255 characters at most.
Word = Annotated[str, msgspec.Meta(max_length=255)]

#: Milliseconds since the epoch, as far as OTLP's nanoseconds in 63 bits go, in the year 2262.
Millis = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000_000)]

Qos = Annotated[int, msgspec.Meta(ge=0, le=2)]

#: MQTT 5.0, section 1.5.5: no packet is longer.
Length = Annotated[int, msgspec.Meta(ge=0, le=268_435_455)]

#: What decoding a stranger's JSON can raise: nested too deep, not UTF-8, not JSON, wrong types.
UNUSABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
