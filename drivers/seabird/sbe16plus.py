"""Sea-Bird SBE 16plus and 19plus (V2) SeaCATs: converted lines, XML packets, raw counts in hexadecimal or decimal.

Theory of operation. `drivers.seabird.ctd` says how lines are told apart. Converted lines (OutputFormat=3) hold
temperature, conductivity, pressure, the enabled external voltages, and what else is switched on; with OutputUCSD
density, battery and current follow the date. The reply to GetCD says it, or `columns`. Hexadecimal scans, most
significant digit first:

    raw (OutputFormat=0)          temperature counts 6, conductivity Hz * 256 6; of a strain gauge counts 6 and its
                                  thermistor V * 13107 4, of a quartz Hz * 256 6 and 12 bits of 5 V 3, and a digit 1
    engineering (OutputFormat=1)  (°C + 10) * 100000 6, (S/m + 1) * 1000000 6, (dbar + 100) * 1000 6
    both, what is enabled         voltages V * 13107 4 each; SBE 38 (°C + 10) * 100000 6; WET Labs counts 4, 4, 4; each
                                  gas tension device hPa * 100000 8 and (°C + 10) * 100000 6; optode (µmol/l + 10) *
                                  10000 6; SBE 63 (phase us + 10) * 100000 6 and (thermistor V + 1) * 1000000 6
    at the end                    in moored mode seconds since 2000 8; of a file that Seasave wrote with the position
                                  latitude * 50000 6, longitude * 50000 6, signs 2 (bit 7 south, bit 6 west), and
                                  perhaps the receiver's seconds since 2000 8, its bytes in reverse

OutputFormat=2 prints the raw counts in decimal. In profiling mode scans carry no time; those of an uploaded cast are
0.25 s (times the scans averaged) apart from the start of the cast, those of a Seasave file its real-time interval
apart from the receiver's time in the header.

Source: SBE 19plus V2 user manual (rev. 006), pages 66 to 76; SBE 63 manual; the position and the quartz by Sea-Bird's
own open software. Checked against what Sea-Bird's software made of an upload.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field as Setting

from drivers.columns import Floats
from drivers.driver import DriverSettings
from drivers.seabird.calibration import (
    Octets,
    Scans,
    Unconvertible,
    conductivity_s_m,
    lacking_of,
    oxygen_ml_l,
    oxygen_temperature_c,
    practical_salinity,
    pressure_dbar,
    quartz_pressure_dbar,
    seabird_time_ns,
    temperature_c,
    unsigned,
)
from drivers.seabird.ctd import SeaBird, SeaBirdSettings
from drivers.seabird.text import RawText, Values
from tidegate.clock import TimeSource
from tidegate.frame import Field, Schema, Times

_PER_VOLT = 13107.0
_T = "sea_water_temperature"
_C = "sea_water_electrical_conductivity"
_P = "sea_water_pressure_due_to_sea_water"
_O = "volume_fraction_of_oxygen_in_sea_water"
_RESOLUTION = {
    _T: 1e-4,
    _C: 1e-6,
    _P: 1e-3,
    "temperature_of_pressure_sensor": 1e-3,
    **{f"external_voltage_{n}": 1e-6 for n in range(6)},
    "sea_water_temperature_2": 1e-5,
    **{f"auxiliary_counts_{n}": 1 for n in range(1, 4)},
    **{f"total_dissolved_gas_pressure{n}": 1e-5 for n in ("", "_2")},
    **{f"temperature_of_gas_tension_sensor{n}": 1e-5 for n in ("", "_2")},
    "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water": 1e-4,
    _O: 1e-3,
    "temperature_of_sensor_for_oxygen_in_sea_water": 1e-4,
    "oxygen_phase_delay": 1e-5,
    "oxygen_thermistor_voltage": 1e-6,
    "latitude": 1e-5,
    "longitude": 1e-5,
}
Sensor = Literal["sbe38", "wetlabs", "gtd", "dual_gtd", "optode", "sbe63"]
_GTD = (("total_dissolved_gas_pressure", 4), ("temperature_of_gas_tension_sensor", 3))
_IN_A_SCAN: dict[Sensor, tuple[tuple[str, int], ...]] = {
    "sbe38": (("sea_water_temperature_2", 3),),
    "wetlabs": tuple((f"auxiliary_counts_{n}", 2) for n in range(1, 4)),
    "gtd": _GTD,
    "dual_gtd": (*_GTD, *((f"{name}_2", octets) for name, octets in _GTD)),
    "optode": (("mole_concentration_of_dissolved_molecular_oxygen_in_sea_water", 3),),
    "sbe63": (("oxygen_phase_delay", 3), ("oxygen_thermistor_voltage", 3)),
}
"""What a sensor puts into a scan, in how many octets; in the order in which sensors follow each other."""
_TOLD: dict[Sensor, tuple[str, ...]] = {
    "sbe38": ("SBE 38", "SBE38"),
    "wetlabs": ("WETLABS",),
    "gtd": ("Gas Tension Device", "GTD"),
    "dual_gtd": ("DualGTD",),
    "optode": ("OPTODE",),
    "sbe63": ("SBE63",),
}
"""How DS and GetCD name them."""
_SCALE = {
    "sea_water_temperature_2": (1e5, 10.0),
    **{f"total_dissolved_gas_pressure{n}": (1e5, 0.0) for n in ("", "_2")},
    **{f"temperature_of_gas_tension_sensor{n}": (1e5, 10.0) for n in ("", "_2")},
    "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water": (1e4, 10.0),
    "oxygen_phase_delay": (1e5, 10.0),
    "oxygen_thermistor_voltage": (1e6, 1.0),
}
_POSITION = (("latitude", 3), ("longitude", 3), ("signs", 1))


class Sbe16plus(SeaBird):
    """A SeaCAT."""

    models = ("SBE 16plus", "SBE 16plus V2", "SBE 19plus", "SBE 19plus V2")
    title = "Sea-Bird SBE 16plus and 19plus (V2) SeaCAT conductivity, temperature and pressure recorders"
    text_output_format = 3
    commands: ClassVar[Mapping[str, str]] = {
        "GetCD": "which values are printed; sent on opening where `columns` is not set",
        **SeaBird.commands,
        "MP, MM": "profiling mode, moored mode",
        "MooredTxRealTime=Y": "prints each sample in moored mode",
    }

    class Settings(SeaBirdSettings):
        """Settings of a SeaCAT."""

        voltages: tuple[Annotated[int, Setting(ge=0, le=5)], ...] | None = None
        """Which external voltages are enabled, for raw scans without a header that says it."""
        sensors: tuple[Sensor, ...] | None = None
        """Which digital sensors are in a raw scan. Not given: what the header or the reply to GetCD says, else none."""
        pressure_sensor: Literal["strain", "quartz", "none"] | None = None
        """Not given: as the header, the reply to GetHD or the .xmlcon says, else strain."""
        reference_pressure_dbar: float = 0.0
        """Pressure at which an instrument without pressure sensor hangs; it corrects the conductivity of its scans."""
        position: bool | None = None
        """Whether Seasave appended the ship's position to each scan. Not given: as header or .xmlcon says."""
        scans: Literal["raw", "engineering"] = "raw"
        """Hexadecimal scans as of OutputFormat=0 (raw) or OutputFormat=1 (engineering)."""

    settings: Settings

    @classmethod
    def guesses(cls) -> Sequence[DriverSettings]:
        printed = (
            "temperature,conductivity,pressure,salinity,sound_velocity,time,density,battery_voltage,supply_current",
            "temperature,conductivity,pressure,salinity,time",
            "temperature,conductivity,pressure",
            "temperature,conductivity,pressure,voltage_0,voltage_1",
            "temperature,conductivity,pressure,voltage_0,voltage_1,time",
        )
        return [cls.Settings(), *(cls.Settings.model_validate({"columns": c.split(",")}) for c in printed)]

    def start(self) -> bytes:
        setup = super().start()
        if self.settings.columns is None:
            # The empty line wakes an instrument that sleeps.
            setup = (setup or b"\r\n") + b"GetCD\r\n"
        return setup

    def columns(self) -> tuple[str, ...]:
        said = self._told.configuration
        sensors = self._sensors()
        if self.settings.columns is not None or "OutputSalinity" not in said or "sbe63" in sensors:
            # How a SBE 63's two values are printed is not documented: 'columns' must say it.
            return super().columns()

        def on(*tags: str) -> bool:
            return any(said.get(tag, "no").lower() == "yes" for tag in tags)

        gas = ("gas_tension", "gas_temperature")
        second = ("gas_tension_2", "gas_temperature_2")
        columns = [
            *("temperature", "conductivity"),
            *["pressure"] * (self._pressure_sensor() != "none"),
            *(f"voltage_{n}" for n in self._voltages() or ()),
            *["temperature_2"] * ("sbe38" in sensors),
            *("counts_1", "counts_2", "counts_3") * ("wetlabs" in sensors),
            *gas * bool({"gtd", "dual_gtd"} & set(sensors)),
            *second * ("dual_gtd" in sensors),
            *["optode_oxygen"] * ("optode" in sensors),
            *["salinity"] * on("OutputSalinity"),
            *["sound_velocity"] * on("OutputSoundVelocity", "OutputSV"),
            *["time"] * (self._timed() is not False),
            *("density", "battery_voltage", "supply_current") * on("OutputSigmaT_V_I", "OutputUCSD"),
        ]
        return tuple(columns)

    # Raw scans.

    def scan_digits(self) -> Sequence[int]:
        return [2 * sum(octets for _, octets in layout) for layout in self._layouts()]

    def hint(self, digits: int) -> str:
        sheet = self.settings.calibration_file
        if self.settings.sensors is None and sheet and sheet.scan.get("SerialRS232C_Sensor", "0") != "0":
            return (
                "a scan with a digital sensor in it, and the .xmlcon names it by a number alone: say which in the "
                f"setting 'sensors' ({', '.join(_IN_A_SCAN)})"
            )
        if self._voltages() is None:
            return (
                f"a scan of {digits} digits, and nobody said which external voltages are in it: keep the file's "
                "header, or give the setting 'voltages' (an empty list if there are none) or a .xmlcon"
            )
        return f"a scan of {digits} digits where {' or '.join(map(str, self.scan_digits()))} are to be expected"

    def convert(self, scans: Octets) -> Scans:
        layout = next(one for one in self._layouts() if sum(octets for _, octets in one) == scans.shape[1])
        raw: dict[str, Floats] = {}
        at = 0
        for name, octets in layout:
            backward = name == "gnss_time"
            part = scans[:, at : at + octets]
            raw[name] = unsigned(part[:, ::-1] if backward else part, 0, octets).astype(np.float64)
            at += octets
        for name in raw:
            if name.startswith("external_voltage") or name == "p_volts":
                raw[name] = raw[name] / _PER_VOLT
            elif name in _SCALE:
                by, less = _SCALE[name]
                raw[name] = raw[name] / by - less
        if "quartz_hz" in raw:
            raw["quartz_hz"] = raw["quartz_hz"] / 256.0
            raw["quartz_counts"] = np.floor(raw["quartz_counts"] / 16.0)
        if self.settings.scans == "raw":
            raw["hz"] = raw["hz"] / 256.0
        if "signs" in raw:
            signs = raw.pop("signs").astype(np.int64)
            raw["latitude"] = raw["latitude"] / 50_000.0 * np.where(signs & 0x80, -1.0, 1.0)
            raw["longitude"] = raw["longitude"] / 50_000.0 * np.where(signs & 0x40, -1.0, 1.0)
        seconds = {name: raw.pop(name).astype(np.int64) for name in ("time", "gnss_time") if name in raw}
        schema, columns = self._values(raw)
        if "time" in seconds:
            return Scans(schema, seabird_time_ns(seconds["time"]), columns)
        time = self._cast_time(len(scans))
        told = self._told
        if time is None and told.gnss_ns is not None and told.step_ns is not None:
            steps = np.arange(self._scans_seen, self._scans_seen + len(scans), dtype=np.int64)
            return Scans(schema, told.gnss_ns + told.step_ns * steps, columns, TimeSource.NMEA)
        if time is None and "gnss_time" in seconds:
            return Scans(schema, seabird_time_ns(seconds["gnss_time"]), columns, TimeSource.NMEA)
        return Scans(schema, time, columns)

    def raw_texts(self) -> Sequence[RawText]:
        voltages = self._voltages()
        if voltages is None or set(self._sensors()) - {"sbe38", "wetlabs"}:
            return ()
        pressure = {
            "strain": {"p_counts": 0, "p_volts": 4},
            "quartz": {"quartz_hz": 3, "quartz_volts": 4},
            "none": {},
        }[self._pressure_sensor()]
        decimals = {"counts": 0, "hz": 3, **pressure, **{f"external_voltage_{n}": 4 for n in voltages}}
        for sensor in self._sensors():
            decimals |= {name: 4 if sensor == "sbe38" else 0 for name, _ in _IN_A_SCAN[sensor]}
        return [RawText(decimals, timed, partial(self._values, engineering=False)) for timed in (True, False)]

    def _layouts(self) -> list[tuple[tuple[str, int], ...]]:
        """What may stand in a scan as (name, octets), the layouts of different lengths that are possible."""
        voltages = self._voltages()
        sheet = self.settings.calibration_file
        scan = sheet.scan if sheet else {}
        if voltages is None or (self.settings.sensors is None and scan.get("SerialRS232C_Sensor", "0") != "0"):
            return []
        none = self._pressure_sensor() == "none"
        head: tuple[tuple[str, int], ...]
        if self.settings.scans == "engineering":
            head = ((_T, 3), (_C, 3), *([] if none else [(_P, 3)]))
        elif none:
            head = (("counts", 3), ("hz", 3))
        elif self._pressure_sensor() == "quartz":
            head = (("counts", 3), ("hz", 3), ("quartz_hz", 3), ("quartz_counts", 2))
        else:
            head = (("counts", 3), ("hz", 3), ("p_counts", 3), ("p_volts", 2))
        body = (
            *head,
            *((f"external_voltage_{n}", 2) for n in voltages),
            *(part for sensor in self._sensors() for part in _IN_A_SCAN[sensor]),
        )
        if self._positioned():
            with_time = (*body, *_POSITION, ("gnss_time", 4))
            return {"1": [with_time], "0": [(*body, *_POSITION)]}.get(
                scan.get("NmeaTimeAdded", ""), [with_time, (*body, *_POSITION)]
            )
        timed = (*body, ("time", 4))
        return {True: [timed], False: [body], None: [timed, body]}[self._timed()]

    def _values(self, raw: dict[str, Floats], *, engineering: bool | None = None) -> tuple[Schema, Values]:
        """(schema, columns) of what stands in scans, by the names of `_layouts`, voltages and Hz already as such."""
        if engineering is None:
            engineering = self.settings.scans == "engineering"
        columns = dict(raw)
        if not engineering:
            columns = self._converted(raw) | {n: v for n, v in raw.items() if n in _RESOLUTION}
        else:
            columns[_T] = raw[_T] / 1e5 - 10.0
            columns[_C] = raw[_C] / 1e6 - 1.0
            if _P in raw:
                columns[_P] = raw[_P] / 1e3 - 100.0
        k = self.coefficients()
        if "oxygen_phase_delay" in raw and not lacking_of(k, ["oxygen"]):
            with np.errstate(all="ignore"):  # a silent sensor gives what is no number, which is then refused
                t = oxygen_temperature_c(raw["oxygen_thermistor_voltage"], k)
                p = columns.get(_P, np.full(len(t), self.settings.reference_pressure_dbar))
                salinity = practical_salinity(columns[_C], columns[_T], p)
                columns[_O] = oxygen_ml_l(raw["oxygen_phase_delay"], t, p, salinity, k)
                columns["temperature_of_sensor_for_oxygen_in_sea_water"] = t
        resolution = _RESOLUTION | ({_T: 1e-5} if engineering else {})
        fields = tuple(Field.of(name, resolution=resolution[name]) for name in columns)
        return Schema("ctd", fields), columns

    def _converted(self, raw: dict[str, Floats]) -> dict[str, Floats]:
        k = self.coefficients()
        pressure = {"strain": ["pressure"], "quartz": ["quartz"], "none": []}[self._pressure_sensor()]
        missing = lacking_of(k, ["temperature", "conductivity", *pressure])
        if missing:
            raise Unconvertible(
                f"raw scans, and the calibration lacks {', '.join(missing)}: keep the file's header, or give them "
                "by the setting 'calibration_file' or 'coefficients'"
            )
        columns: dict[str, Floats] = {}
        with np.errstate(all="ignore"):  # damaged counts give what is no number, which is then refused
            millivolts = (raw["counts"] - 524288) / 1.6e7
            ohms = (millivolts * 2.9e9 + 1.024e8) / (2.048e4 - millivolts * 2.0e5)
            t = temperature_c(np.log(ohms), k)
            if "p_counts" in raw:
                p, pt = pressure_dbar(raw["p_counts"], raw["p_volts"], k)
            elif "quartz_hz" in raw:
                counts = raw["quartz_counts"] if "quartz_counts" in raw else raw["quartz_volts"] * _PER_VOLT / 16.0
                p, pt = quartz_pressure_dbar(raw["quartz_hz"], counts, k)
            else:
                p = np.full(len(t), self.settings.reference_pressure_dbar)
            columns = {_T: t, _C: conductivity_s_m(raw["hz"] / 1000.0, t, p, k)}
            if pressure:
                columns |= {_P: p, "temperature_of_pressure_sensor": pt}
        return columns

    def _cast_time(self, n: int) -> Times | None:
        if len(self._told.casts) != 1:
            return None
        start_ns, step_ns = self._told.casts[0]
        return start_ns + step_ns * np.arange(self._scans_seen, self._scans_seen + n, dtype=np.int64)

    # What is in a scan.

    def _voltages(self) -> tuple[int, ...] | None:
        if self.settings.voltages is not None:
            return self.settings.voltages
        told = self._told
        said = [told.states.get(f"Ext Volt {n}", told.configuration.get(f"ExtVolt{n}")) for n in range(6)]
        if None not in said:
            return tuple(n for n, switch in enumerate(said) if switch == "yes")
        sheet = self.settings.calibration_file
        count = sheet.scan.get("ExternalVoltageChannels", "") if sheet else ""
        return tuple(range(int(count))) if count.isdigit() and int(count) <= 6 else None

    def _sensors(self) -> tuple[Sensor, ...]:
        if self.settings.sensors is not None:
            return tuple(sensor for sensor in _IN_A_SCAN if sensor in self.settings.sensors)
        said = self._told.states | self._told.configuration
        on = [sensor for sensor in _IN_A_SCAN if any(said.get(name, "no") == "yes" for name in _TOLD[sensor])]
        return tuple(sensor for sensor in on if sensor != "gtd" or "dual_gtd" not in on)

    def _pressure_sensor(self) -> str:
        if self.settings.pressure_sensor is not None:
            return self.settings.pressure_sensor
        told = self._told
        said = told.states.get("pressure sensor", told.sensors.get("Main Pressure", ""))
        if said:
            return "quartz" if "quartz" in said else "none" if "not installed" in said else "strain"
        sheet = self.settings.calibration_file
        if sheet and sheet.quartz:
            return "quartz"
        return "none" if "Main Temperature" in told.sensors else "strain"

    def _positioned(self) -> bool:
        if self.settings.position is not None:
            return self.settings.position
        sheet = self.settings.calibration_file
        stored = self._told.states.get("Store Lat/Lon Data", "")
        return "Append to Every Scan" in stored or bool(sheet and sheet.scan.get("NmeaPositionDataAdded") == "1")

    def _timed(self) -> bool | None:
        mode = self._told.states.get("mode", "")
        if mode in ("profile", "moored"):
            return mode == "moored"
        if "ProfileMode" in self._told.configuration:
            return False
        return True if self._told.device.replace(" ", "").startswith("SBE16plus") else None
