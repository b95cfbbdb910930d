"""What every section of the configuration has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys that cannot be changed, and no others than those that are known."""

    # Errors of pydantic would otherwise quote values, and with them secrets.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )
