"""What every section of the configuration has in common."""

from collections.abc import Mapping
from typing import get_args

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys that cannot be changed, and no others than those that are known."""

    # Errors of pydantic would otherwise quote values, and with them secrets.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


def nested(section: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """Return the sections within ``section`` that may be left out, by their keys."""
    found: dict[str, type[BaseModel]] = {}
    for key, field in section.model_fields.items():
        for member in get_args(field.annotation):
            if isinstance(member, type) and issubclass(member, BaseModel):
                found[key] = member
    return found
