"""One value that a device gives as a bare number, as settings tell of it: what it is, its unit, its scale.

Register maps and SDI-12 sensors are lists of such values. `(raw * scale + offset)` is in the device's unit, which
becomes the vocabulary's.
"""

from difflib import get_close_matches
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting

from drivers.units import alike, conversion
from tidegate.vocabulary import PARAMETERS


class Table(BaseModel):
    """A table of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(Table):
    """What a number means."""

    parameter: str = Setting(description="a parameter of the vocabulary; one's own name needs label and unit too")
    unit: str | None = Setting(None, description="in which the device gives it; default: the parameter's own")
    scale: float = Setting(1.0, description="the raw number is multiplied by this …")
    offset: float = Setting(0.0, description="… and this is added, both in the device's unit")
    resolution: float | None = Setting(None, gt=0, description="least step, in the parameter's unit")
    invalid: tuple[float, ...] = Setting((), description="raw numbers that mean: no value")
    label: str | None = Setting(None, description="what people are to read for a parameter of one's own")

    @model_validator(mode="after")
    def _known(self) -> Self:
        known = PARAMETERS.get(self.parameter)
        if known is None and (self.label is None or self.unit is None):
            near = get_close_matches(self.parameter, PARAMETERS, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(
                f"{self.named} is not in the vocabulary: {hint}For a parameter of your own give label and unit"
            )
        self.convertible(self.unit)
        if self.scale == 0 or not np.isfinite([self.scale, self.offset]).all():
            raise ValueError(f"{self.named}: scale and offset must be finite and scale not 0")
        return self

    @property
    def named(self) -> str:
        """How messages call it."""
        return f"value {self.parameter!r}"

    @property
    def target(self) -> str:
        """The unit that it is brought to."""
        known = PARAMETERS.get(self.parameter)
        return known.unit if known is not None else self.unit or "1"

    def convertible(self, unit: str | None) -> None:
        """Raises ValueError where `unit` measures something else."""
        if conversion(unit or self.target, self.target) is None:
            fitting = ", ".join(alike(self.target))
            raise ValueError(f"{self.named}: unit {unit!r} cannot become {self.target}; use one of {fitting}")

    def linear(self, unit: str | None = None) -> tuple[float, float]:
        """(factor, offset) from the raw number to the parameter's unit, the device giving it in `unit`."""
        factor, offset = conversion(unit or self.unit or self.target, self.target) or (1.0, 0.0)
        return self.scale * factor, self.offset * factor + offset
