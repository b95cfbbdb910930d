"""A figure beside its target."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A figure beside its target; ``met`` is ``None`` when it could not be measured."""

    figure: str
    target: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """``met`` in words."""
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


def finding(
    figure: str, target: str, value: float | None, form: str, meets: Callable[[float], bool]
) -> Finding:
    """Judge ``value``, which ``form`` puts into words; ``None`` could not be measured."""
    if value is None:
        return Finding(figure, target, "", None)
    return Finding(figure, target, form.format(value), meets(value))
