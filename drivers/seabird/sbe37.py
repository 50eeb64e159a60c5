"""Sea-Bird SBE 37 MicroCAT (SM, SMP, SI, IM): converted lines, XML packets, and the raw scans of uploaded files.

Theory of operation. A MicroCAT samples by itself every `SampleInterval` seconds and prints each sample if TxRealTime
is on (`mode = "autonomous"`), or waits to be asked by `TS` (`mode = "polled"`). `drivers.seabird.ctd` says how lines
are told apart. Raw scans are hexadecimal, most significant byte first:

    30 digits, upload            temperature counts 6, conductivity Hz * 256 6, pressure counts 6, its thermistor 4,
                                 seconds since 2000-01-01 8
    20 digits, without pressure  6, 6, 8
    22 digits, SBE 37-IM          (°C + 10) * 10000 5, (S/m + 0.5) * 100000 5, pressure 4, seconds since 2000 8; the
                                 last two with their bytes in reverse

Sources: SBE 37-SM RS-232 user manual rev. 041, pages 30, 46, 76; the layouts are checked against files that Sea-Bird's
own software converted.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field as Setting

from drivers.seabird.calibration import (
    AIR_PSI,
    DBAR_PER_PSI,
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
from tidegate.frame import Field, Schema

_UPLOADED = (
    Field.of("sea_water_temperature", resolution=1e-4),
    Field.of("sea_water_electrical_conductivity", resolution=1e-6),
)
_PRESSURE = (
    Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
    Field.of("temperature_of_pressure_sensor", resolution=1e-3),
)
_TELEMETERED = (
    Field.of("sea_water_temperature", resolution=1e-4),
    Field.of("sea_water_electrical_conductivity", resolution=1e-5),
    Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
)


class Sbe37(SeaBird):
    """A MicroCAT."""

    models = ("SBE 37-SM", "SBE 37-SMP", "SBE 37-SI", "SBE 37-IM")
    title = "Sea-Bird SBE 37 MicroCAT conductivity, temperature and pressure recorder"
    text_output_format = 1

    class Settings(SeaBirdSettings):
        """Settings of a MicroCAT."""

        pressure_range_psia: float | None = Setting(default=None, gt=AIR_PSI)
        """Range of the pressure sensor, from the calibration sheet; needed for the 22-digit scans of a SBE 37-IM."""
        reference_pressure_dbar: float | None = None
        """Pressure at which an instrument without pressure sensor hangs; it corrects the conductivity of its scans.
        Not given: what the instrument's configuration says, else 0."""

    settings: Settings

    def start(self) -> bytes:
        setup = super().start()
        if self.settings.columns is None:
            # The empty line wakes an instrument that sleeps.
            setup = (setup or b"\r\n") + b"GetCD\r\n"
        return setup

    def columns(self) -> tuple[str, ...]:
        said = self._told.configuration
        if self.settings.columns is not None or not said:
            return super().columns()

        def on(*tags: str, default: bool) -> bool:
            return all(said.get(tag, "yes" if default else "no").lower() == "yes" for tag in tags)

        printed = {
            "temperature": on("OutputTemperature", default=True),
            "conductivity": on("OutputConductivity", default=True),
            "pressure": on("PressureInstalled", "OutputPressure", default=True),
            "oxygen": on("OutputOxygen", default=False),
            "salinity": on("OutputSalinity", default=False),
            "sound_velocity": on("OutputSV", default=False),
            "specific_conductivity": on("OutputSC", default=False),
            "time": on("OutputTime", default=True),
            "sample_number": on("TxSampleNumber", default=False),
        }
        columns = tuple(name for name, is_printed in printed.items() if is_printed)
        return columns if set(columns) - {"time", "sample_number"} else super().columns()

    def units(self) -> dict[str, str]:
        said = self._told.configuration
        learnt = {
            "temperature": {"celsius": "C", "fahrenheit": "F"}.get(said.get("TemperatureUnits", "").lower()),
            "conductivity": {"s/m": "S/m", "ms/cm": "mS/cm", "us/cm": "uS/cm"}.get(
                said.get("ConductivityUnits", "").lower()
            ),
            "pressure": {"decibar": "dbar", "psi": "psi"}.get(said.get("PressureUnits", "").lower()),
        }
        units = super().units()
        for name, unit in learnt.items():
            if unit is not None and getattr(self.settings, f"{name}_unit") is None:
                units[name] = unit
        return units

    def scan_digits(self) -> Sequence[int]:
        return (30, 22, 20)

    def hint(self, digits: int) -> str:
        return f"a scan of {digits} digits; those of a SBE 37 have 30, 20 (without pressure) or 22 (SBE 37-IM)"

    def convert(self, scans: Octets) -> Scans:
        if scans.shape[1] == 11:
            return self._telemetered(scans)
        has_pressure = scans.shape[1] == 15
        k = self.coefficients()
        missing = lacking(k, pressure=has_pressure, more=("WBOTC",))
        if missing:
            raise Unconvertible(
                f"raw scans, and the calibration lacks {', '.join(missing)}: keep the file's header, or give them "
                "in the setting 'coefficients'"
            )
        raw = [unsigned(scans, at, 3).astype(np.float64) for at in (0, 3)]
        with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
            t = temperature_c(np.log(raw[0]), k)
            if has_pressure:
                p, pt = pressure_dbar(
                    unsigned(scans, 6, 3).astype(np.float64), unsigned(scans, 9, 2).astype(np.float64), k
                )
            else:
                p = np.full(len(scans), self._reference_pressure_dbar())
            khz = raw[1] / 256.0 * np.sqrt(1.0 + k["WBOTC"] * t) / 1000.0
            columns: dict[str, Floats] = {
                "sea_water_temperature": t,
                "sea_water_electrical_conductivity": conductivity_s_m(khz, t, p, k),
            }
            if has_pressure:
                columns |= {"sea_water_pressure_due_to_sea_water": p, "temperature_of_pressure_sensor": pt}
        schema = Schema("ctd", _UPLOADED + (_PRESSURE if has_pressure else ()))
        return Scans(schema, seabird_time_ns(unsigned(scans, scans.shape[1] - 4, 4)), columns)

    def _reference_pressure_dbar(self) -> float:
        if self.settings.reference_pressure_dbar is not None:
            return self.settings.reference_pressure_dbar
        said = self._told.configuration.get("ReferencePressure", "0")
        try:
            return float(said)
        except ValueError:
            raise Unconvertible(
                f"the header gives the reference pressure as {said[:40]!r}: give the setting 'reference_pressure_dbar'"
            ) from None

    def _telemetered(self, scans: Octets) -> Scans:
        psia = self.settings.pressure_range_psia or self.coefficients().get("PRANGE")
        if psia is None:
            raise Unconvertible(
                "scans of a SBE 37-IM, whose pressure is a share of the sensor's range: give the setting "
                "'pressure_range_psia' from the calibration sheet"
            )
        range_dbar = (psia - AIR_PSI) * DBAR_PER_PSI
        both = unsigned(scans, 0, 5)  # temperature and conductivity, five digits each
        share = unsigned(scans[:, 6:4:-1], 0, 2).astype(np.float64) / (0.85 * 65536.0) - 0.05
        columns: dict[str, Floats] = {
            "sea_water_temperature": (both >> 20) / 1e4 - 10.0,
            "sea_water_electrical_conductivity": (both & 0xFFFFF) / 1e5 - 0.5,
            "sea_water_pressure_due_to_sea_water": share * range_dbar,
        }
        return Scans(Schema("ctd", _TELEMETERED), seabird_time_ns(unsigned(scans[:, :6:-1], 0, 4)), columns)
