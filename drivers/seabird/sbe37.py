"""Sea-Bird SBE 37 MicroCAT (SM, SMP, SI, IM, and with oxygen, ODO): converted lines, XML packets, and raw scans.

Theory of operation. A MicroCAT samples by itself every `SampleInterval` seconds and prints each sample if TxRealTime
is on (`mode = "autonomous"`), or waits to be asked by `TS` (`mode = "polled"`). `drivers.seabird.ctd` says how lines
are told apart. Raw scans are hexadecimal, most significant byte first:

    30 digits, upload            temperature counts 6, conductivity Hz * 256 6, pressure counts 6, its thermistor 4,
                                 seconds since 2000-01-01 8
    20 digits, without pressure  6, 6, 8
    42 or 32 digits, ODO          as 30 or 20, with (oxygen phase us + 10) * 100000 6 and (its thermistor V + 1) *
                                 1000000 6 after the conductivity
    22 digits, SBE 37-IM          (°C + 10) * 10000 5, (S/m + 0.5) * 100000 5, pressure 4, seconds since 2000 8; the
                                 last two with their bytes in reverse
    18 digits, without pressure  5, 5, 8

Telemetered scans of an SBE 37-IM stand between `#Begin Data` and `#End Data`; the head in front of them names the
instrument, its pressure range and how many there are. With `address`, commands go through a surface inductive modem as
`#iiTS`, and its answers may begin with address and serial number.

Sources: SBE 37-SM RS-232 user manual rev. 041, pages 30, 46, 76; SBE 63 manual rev. 005, appendix I; SBE 39plus-IM
manual rev. 001, pages 41 to 63 (inductive modem); the layouts are checked against files that Sea-Bird's own software
converted.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field as Setting

from drivers.columns import Floats
from drivers.driver import DriverSettings
from drivers.seabird.calibration import (
    AIR_PSI,
    DBAR_PER_PSI,
    Octets,
    Scans,
    Unconvertible,
    conductivity_s_m,
    lacking_of,
    oxygen_ml_l,
    oxygen_temperature_c,
    practical_salinity,
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
_OXYGEN = (
    Field.of("volume_fraction_of_oxygen_in_sea_water", resolution=1e-3),
    Field.of("temperature_of_sensor_for_oxygen_in_sea_water", resolution=1e-4),
    Field.of("oxygen_phase_delay", resolution=1e-5),
    Field.of("oxygen_thermistor_voltage", resolution=1e-6),
)
_TELEMETERED = (
    Field.of("sea_water_temperature", resolution=1e-4),
    Field.of("sea_water_electrical_conductivity", resolution=1e-5),
    Field.of("sea_water_pressure_due_to_sea_water", resolution=1e-3),
)


class Sbe37(SeaBird):
    """A MicroCAT."""

    models = (
        *("SBE 37-SM", "SBE 37-SMP", "SBE 37-SI", "SBE 37-SIP", "SBE 37-IM", "SBE 37-IMP"),
        *("SBE 37-SMP-ODO", "SBE 37-SIP-ODO", "SBE 37-IMP-ODO"),
    )
    title = "Sea-Bird SBE 37 MicroCAT conductivity, temperature, pressure and oxygen recorder"
    commands: ClassVar[Mapping[str, str]] = {
        "GetCD": "which values are printed, in which units; sent on opening where `columns` is not set",
        **SeaBird.commands,
        "SLT": "prints the last sample, then takes a new one",
        "#iiTS, #iiGetCD": "the same of the instrument with address ii behind a surface inductive modem",
        "PwrOn": "wakes all instruments on an inductive line; sent on opening with `address`",
        "GData, !iiData, Dataii": "lets all on the line sample at once; asks one for that sample",
    }
    text_output_format = 1

    class Settings(SeaBirdSettings):
        """Settings of a MicroCAT."""

        pressure_range_psia: float | None = Setting(default=None, gt=AIR_PSI)
        """Range of the pressure sensor, from the calibration sheet; needed for the 22-digit scans of a SBE 37-IM."""
        reference_pressure_dbar: float | None = None
        """Pressure at which an instrument without pressure sensor hangs; it corrects the conductivity of its scans.
        Not given: what the instrument's configuration says, else 0."""
        address: int | None = Setting(default=None, ge=0, le=99)
        """Its address on an inductive modem's line (SBE 37-IM); commands and answers then carry it."""

    settings: Settings

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        printed = (
            "temperature,conductivity,pressure,salinity,time",
            "temperature,conductivity,pressure,salinity,sound_velocity,time",
            "temperature,conductivity,time",
            "temperature,conductivity,pressure,oxygen,time",
        )
        return [
            cls.Settings(),
            *(cls.Settings.model_validate({"columns": columns.split(",")}) for columns in printed),
            cls.Settings(conductivity_unit="mS/cm"),
        ]

    @property
    def address(self) -> int | None:
        return self.settings.address

    def start(self) -> bytes:
        setup = super().start()
        if self.settings.columns is None:
            # The empty line wakes an instrument that sleeps.
            setup = (setup or b"\r\n") + b"GetCD\r\n"
        return self._relayed(setup)

    def poll(self) -> bytes:
        return self._relayed(super().poll())

    def _relayed(self, commands: bytes) -> bytes:
        if self.address is None or not commands:
            return commands
        lines = [b"#%02d%s\r\n" % (self.address, line) for line in commands.split(b"\r\n") if line]
        return (b"PwrOn\r\n" if commands.startswith(b"\r\n") else b"") + b"".join(lines)

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
        return (30, 22, 20, 42, 32, 18)

    def hint(self, digits: int) -> str:
        return (
            f"a scan of {digits} digits; those of a SBE 37 have 30, 20 (without pressure), 42 or 32 (with oxygen), "
            "22 or 18 (SBE 37-IM)"
        )

    def convert(self, scans: Octets) -> Scans:
        octets = scans.shape[1]
        if octets in (9, 11):
            return self._telemetered(scans)
        has_pressure, has_oxygen = octets in (15, 21), octets in (16, 21)
        k = self.coefficients()
        sensors = ["temperature", "conductivity", *["pressure"] * has_pressure, *["oxygen"] * has_oxygen]
        missing = lacking_of(k, sensors, more=("WBOTC",))
        if missing:
            raise Unconvertible(
                f"raw scans, and the calibration lacks {', '.join(missing)}: keep the file's header, or give them "
                "by the setting 'calibration_file' or 'coefficients'"
            )
        counts = [unsigned(scans, at, 3).astype(np.float64) for at in range(0, octets - 4, 3)]
        with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
            t = temperature_c(np.log(counts[0]), k)
            if has_pressure:
                first = 12 if has_oxygen else 6
                p, pt = pressure_dbar(counts[first // 3], unsigned(scans, first + 3, 2).astype(np.float64), k)
            else:
                p = np.full(len(scans), self._reference_pressure_dbar())
            khz = counts[1] / 256.0 * np.sqrt(1.0 + k["WBOTC"] * t) / 1000.0
            c = conductivity_s_m(khz, t, p, k)
            columns: dict[str, Floats] = {
                "sea_water_temperature": t,
                "sea_water_electrical_conductivity": c,
            }
            if has_pressure:
                columns |= {"sea_water_pressure_due_to_sea_water": p, "temperature_of_pressure_sensor": pt}
            if has_oxygen:
                phase, volts = counts[2] / 1e5 - 10.0, counts[3] / 1e6 - 1.0
                ot = oxygen_temperature_c(volts, k)
                columns |= {
                    "volume_fraction_of_oxygen_in_sea_water": oxygen_ml_l(phase, ot, p, practical_salinity(c, t, p), k),
                    "temperature_of_sensor_for_oxygen_in_sea_water": ot,
                    "oxygen_phase_delay": phase,
                    "oxygen_thermistor_voltage": volts,
                }
        schema = Schema("ctd", _UPLOADED + (_PRESSURE if has_pressure else ()) + (_OXYGEN if has_oxygen else ()))
        return Scans(schema, seabird_time_ns(unsigned(scans, octets - 4, 4)), columns)

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
        both = unsigned(scans, 0, 5)  # temperature and conductivity, five digits each
        columns: dict[str, Floats] = {
            "sea_water_temperature": (both >> 20) / 1e4 - 10.0,
            "sea_water_electrical_conductivity": (both & 0xFFFFF) / 1e5 - 0.5,
        }
        time = seabird_time_ns(unsigned(scans[:, :-5:-1], 0, 4))
        if scans.shape[1] == 9:
            return Scans(Schema("ctd", _TELEMETERED[:2]), time, columns)
        psia = self.settings.pressure_range_psia or self.coefficients().get("PRANGE")
        if psia is None:
            lacking = (
                "the pressure of an SBE 37-IM is a share of its sensor's range, so it is left out: keep the head "
                "before the scans, or give the setting 'pressure_range_psia' from the calibration sheet"
            )
            return Scans(Schema("ctd", _TELEMETERED[:2]), time, columns, lacking=lacking)
        share = unsigned(scans[:, 6:4:-1], 0, 2).astype(np.float64) / (0.85 * 65536.0) - 0.05
        columns["sea_water_pressure_due_to_sea_water"] = share * (psia - AIR_PSI) * DBAR_PER_PSI
        return Scans(Schema("ctd", _TELEMETERED), time, columns)
