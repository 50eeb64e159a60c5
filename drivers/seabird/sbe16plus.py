"""Sea-Bird SBE 16plus V2 and 19plus V2 SeaCATs: converted lines, XML packets, and hexadecimal scans.

Theory of operation. `drivers.seabird.ctd` says how lines are told apart. Converted lines (OutputFormat=3) hold
temperature, conductivity, pressure, the enabled external voltages, and what else is switched on; with OutputUCSD
density, battery and current follow the date: that is what `columns` is for. Hexadecimal scans, most significant
digit first:

    raw (OutputFormat=0)          temperature counts 6, conductivity Hz * 256 6, pressure counts 6, its thermistor
                                  V * 13107 4, each enabled voltage V * 13107 4, in moored mode seconds since 2000 8
    engineering (OutputFormat=1)  (°C + 10) * 100000 6, (S/m + 1) * 1000000 6, (dbar + 100) * 1000 6, voltages 4, time 8

Which voltages are enabled comes from the header (or a reply to DS or GetCD) or from the settings. In profiling mode
scans carry no time; those of an uploaded cast are 0.25 s (times the scans averaged) apart from the start of the cast.

Source: SBE 19plus V2 user manual, pages 71 to 76; checked against what Sea-Bird's own software made of an upload.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field as Setting

from drivers.seabird.calibration import (
    Floats,
    Octets,
    Scans,
    Unconvertible,
    conductivity_s_m,
    lacking,
    pressure_dbar,
    seabird_time_ns,
    temperature_c,
    unsigned,
)
from drivers.seabird.ctd import SeaBird, SeaBirdSettings
from tidegate.frame import Field, Schema, Times

_PER_VOLT = 13107.0
_OTHER_SENSORS = ("SBE 38", "WETLABS", "OPTODE", "SBE63", "Gas Tension Device", "SBE38", "GTD")
"""What else may stand in a scan, as DS and GetCD name it."""
_FIELDS = (
    Field.of("sea_water_temperature", resolution=1e-4),
    Field.of("sea_water_electrical_conductivity", resolution=1e-6),
    Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
)
_OF_PRESSURE_SENSOR = Field.of("temperature_of_pressure_sensor", resolution=1e-3)


class Sbe16plus(SeaBird):
    """A SeaCAT."""

    models = ("SBE 16plus V2", "SBE 19plus V2")
    title = "Sea-Bird SBE 16plus V2 and 19plus V2 SeaCAT conductivity, temperature and pressure recorders"
    text_output_format = 3

    class Settings(SeaBirdSettings):
        """Settings of a SeaCAT."""

        voltages: tuple[Annotated[int, Setting(ge=0, le=5)], ...] | None = None
        """Which external voltages are enabled, for hexadecimal scans without a header that says it."""
        scans: Literal["raw", "engineering"] = "raw"
        """Hexadecimal scans as of OutputFormat=0 (raw) or OutputFormat=1 (engineering)."""

    settings: Settings

    def scan_digits(self) -> Sequence[int]:
        voltages = self._voltages()
        if voltages is None or self._odd_sensors():
            return ()
        digits = self._head() + 4 * len(voltages)
        return {True: (digits + 8,), False: (digits,), None: (digits + 8, digits)}[self._timed()]

    def hint(self, digits: int) -> str:
        odd = self._odd_sensors()
        if odd:
            return f"a scan with {', '.join(odd)} in it, which this driver does not take apart: use OutputFormat=3"
        if self._voltages() is None:
            return (
                f"a scan of {digits} digits, and nobody said which external voltages are in it: keep the file's "
                "header, or give the setting 'voltages' (an empty list if there are none)"
            )
        return f"a scan of {digits} digits where {' or '.join(map(str, self.scan_digits()))} are to be expected"

    def convert(self, scans: Octets) -> Scans:
        voltages = self._voltages() or ()
        first = self._head() // 2
        timed = scans.shape[1] > first + 2 * len(voltages)
        fields: tuple[Field, ...] = _FIELDS
        if self.settings.scans == "engineering":
            columns: dict[str, Floats] = {
                "sea_water_temperature": unsigned(scans, 0, 3) / 1e5 - 10.0,
                "sea_water_electrical_conductivity": unsigned(scans, 3, 3) / 1e6 - 1.0,
                "sea_water_pressure_due_to_sea_water": unsigned(scans, 6, 3) / 1e3 - 100.0,
            }
        else:
            columns = self._converted(scans)
            fields = (*fields, _OF_PRESSURE_SENSOR)
        for n, number in enumerate(voltages):
            columns[f"external_voltage_{number}"] = unsigned(scans, first + 2 * n, 2) / _PER_VOLT
        fields = (*fields, *(Field.of(f"external_voltage_{number}", resolution=1e-6) for number in voltages))
        time = seabird_time_ns(unsigned(scans, scans.shape[1] - 4, 4)) if timed else self._cast_time(len(scans))
        return Scans(Schema("ctd", fields), time, columns)

    def _converted(self, scans: Octets) -> dict[str, Floats]:
        k = self.coefficients()
        missing = lacking(k, pressure=True)
        if missing:
            raise Unconvertible(
                f"raw scans, and the calibration lacks {', '.join(missing)}: keep the file's header, or give them "
                "in the setting 'coefficients'"
            )
        with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
            millivolts = (unsigned(scans, 0, 3) - 524288) / 1.6e7
            ohms = (millivolts * 2.9e9 + 1.024e8) / (2.048e4 - millivolts * 2.0e5)
            t = temperature_c(np.log(ohms), k)
            p, pt = pressure_dbar(unsigned(scans, 6, 3).astype(np.float64), unsigned(scans, 9, 2) / _PER_VOLT, k)
            return {
                "sea_water_temperature": t,
                "sea_water_electrical_conductivity": conductivity_s_m(unsigned(scans, 3, 3) / 256e3, t, p, k),
                "sea_water_pressure_due_to_sea_water": p,
                "temperature_of_pressure_sensor": pt,
            }

    def _cast_time(self, n: int) -> Times | None:
        if len(self._told.casts) != 1:
            return None
        start_ns, step_ns = self._told.casts[0]
        return start_ns + step_ns * np.arange(self._scans_seen, self._scans_seen + n, dtype=np.int64)

    # What is in a scan.

    def _head(self) -> int:
        return 18 if self.settings.scans == "engineering" else 22

    def _voltages(self) -> tuple[int, ...] | None:
        if self.settings.voltages is not None:
            return self.settings.voltages
        told = self._told
        said = [told.states.get(f"Ext Volt {n}", told.configuration.get(f"ExtVolt{n}")) for n in range(6)]
        if None in said:
            return None
        return tuple(n for n, switch in enumerate(said) if switch == "yes")

    def _odd_sensors(self) -> list[str]:
        said = self._told.states | self._told.configuration
        odd = [name for name in _OTHER_SENSORS if said.get(name, "no") == "yes"]
        return [*odd, "a quartz pressure sensor"] if "quartz" in said.get("pressure sensor", "") else odd

    def _timed(self) -> bool | None:
        mode = self._told.states.get("mode", "")
        if mode in ("profile", "moored"):
            return mode == "moored"
        return True if self._told.device.replace(" ", "").startswith("SBE16plus") else None
