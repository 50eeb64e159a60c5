"""The thresholds of the tests, by parameter, platform and instrument, as the hub's TOML states them.

    [[qc]]
    parameter = "water_surface_height_above_reference_datum"
    platform = "tioman-1"                   # "*" where left out; so for instrument
    gross_range_fail = [-0.5, 5.0]          # in the parameter's unit
    spike = [0.1, 0.2]                      # suspect, fail
    rate_of_change = 0.002                  # units a second
    flat_line_s = [600, 3600]               # suspect, fail

Later tables override earlier ones, value by value. What nobody set comes from the defaults below; a test without
thresholds is not run, and says 2.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, Strict, field_validator, model_validator

from tidegate.settings import Table
from tidegate.vocabulary import PARAMETERS, parameter

Pair = Annotated[tuple[float, float], Strict(False)]


class Thresholds(Table):
    """Thresholds of one stream's tests; None: not set."""

    gross_range_fail: Pair | None = Field(default=None, description="outside: fail")
    gross_range_suspect: Pair | None = Field(default=None, description="outside: suspect")
    spike: Pair | None = Field(default=None, description="height above the neighbours' mean: suspect, fail")
    rate_of_change: float | None = Field(default=None, gt=0, description="units a second: suspect")
    flat_line_s: Pair | None = Field(default=None, description="seconds without moving: suspect, fail")
    gap_s: float | None = Field(default=None, gt=0, description="farther apart than this, samples are no neighbours")

    @field_validator("gross_range_fail", "gross_range_suspect", "spike", "flat_line_s")
    @classmethod
    def _rising(cls, value: Pair | None) -> Pair | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(f"{list(value)}: the first must be below the second; swap them")
        return value


class QcTable(Thresholds):
    """One `[[qc]]` table: thresholds, and the streams that they are for."""

    parameter: str = Field(
        description="the parameter that is tested",
        examples=["sea_water_temperature"],
        json_schema_extra={"enum": list(PARAMETERS)},
    )
    platform: str = Field(default="*", description="name of the platform; `*` stands for any characters")
    instrument: str = Field(default="*", description="name of the instrument; `*` stands for any characters")

    @field_validator("parameter")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return parameter(value).name
        except KeyError as error:
            raise ValueError(str(error.args[0])) from None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.thresholds():
            raise ValueError("sets no threshold; add one, or take the table out")
        return self

    def thresholds(self) -> dict[str, object]:
        """The thresholds that this table sets."""
        return self.model_dump(exclude_none=True, include=set(Thresholds.model_fields))


_GAP_S = 900.0

DEFAULTS = (
    # QARTOD Manual for Water Level v2.1 (2021), test 6: 0.1 and 0.2 m. Its rates of change are meant for 6-minute
    # averages; a gauge that shows single waves would exceed them all day, so a rate is the operator's to set.
    QcTable(parameter="water_surface_height_above_reference_datum", spike=(0.1, 0.2)),
    # GTSPP as CoTeDe 0.23 ships it: spikes of 2.0 degC and 0.3 in salinity fail (suspect from half of that is our
    # choice); range -2 to 40 degC and 0 to 41.
    QcTable(parameter="sea_water_temperature", gross_range_fail=(-2.0, 40.0), spike=(1.0, 2.0)),
    QcTable(parameter="sea_water_practical_salinity", gross_range_fail=(0.0, 41.0), spike=(0.15, 0.3)),
    # QARTOD Manual for Current Data v2: sound speed 1475 to 1560 m/s (test 4).
    QcTable(parameter="speed_of_sound_in_sea_water", gross_range_suspect=(1475.0, 1560.0)),
)


def thresholds(tables: Sequence[QcTable], platform: str, instrument: str, parameter: str) -> Thresholds:
    """What holds for one stream: defaults, then the tables that name it, in their order."""
    found: dict[str, object] = {"gap_s": _GAP_S}
    known = PARAMETERS.get(parameter)
    if known is not None:
        found["gross_range_fail"] = known.plausible
    for table in (*DEFAULTS, *tables):
        fits = fnmatchcase(platform, table.platform) and fnmatchcase(instrument, table.instrument)
        if fits and table.parameter == parameter:
            found |= table.thresholds()
    return Thresholds.model_validate(found)
