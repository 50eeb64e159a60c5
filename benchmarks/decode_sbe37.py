"""How fast an SBE 37's uploaded hexadecimal scans become temperature, conductivity and pressure, side by side with
seabirdscientific, Sea-Bird's own open package.

Ours streams the file in pieces of 64 KiB, as a port or a replay gives it, and makes Frames with times, rounding and
plausibility; the peer reads the whole file into an xarray Dataset and converts the same three quantities by the same
coefficients. The file is the 100,309 scans of Sea-Bird's tests where the recordings are at hand, else as many scans
made of a smooth sea by the same calibration.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from seabirdscientific import cal_coefficients as coefficients
from seabirdscientific import conversion, instrument_data

from benchmarks.result import Result
from drivers.seabird.sbe37 import Sbe37
from tidegate.clock import UNKNOWN
from tidegate.frame import Frame

_DATA = Path(os.environ.get("TIDEGATE_RECORDINGS", Path(__file__).parents[2] / "shared" / "data"))
_RECORDED = _DATA / "ctd" / "seabird_official" / "SBE37SM.hex"
_PIECE = 65536
_SCANS = 100_000
_ROUNDS = 3
_CALIBRATION = {  # of the SBE 37-SM 6385
    **dict(zip(("TA0", "TA1", "TA2", "TA3"), (1.626806e-4, 2.456959e-4, -2.340568e-7, 9.324503e-8), strict=True)),
    **dict(zip(("G", "H", "I", "J"), (-9.998508e-1, 1.266067e-1, -2.899345e-4, 3.543908e-5), strict=True)),
    **dict(zip(("CPCOR", "CTCOR", "WBOTC"), (-9.57e-8, 3.25e-6, 1.4795e-6), strict=True)),
    **dict(zip(("PA0", "PA1", "PA2"), (6.601377e-1, 9.632977e-3, -1.658055e-10), strict=True)),
    **dict(zip(("PTCA0", "PTCA1", "PTCA2"), (5.245366e5, 4.770952, -9.340451e-2), strict=True)),
    **dict(zip(("PTCB0", "PTCB1", "PTCB2"), (26.04163, -1.675e-3, 0.0), strict=True)),
    **dict(zip(("PTEMPA0", "PTEMPA1", "PTEMPA2"), (-68.38232, 5.19557e-2, -6.698329e-7), strict=True)),
}
_SENSORS = [
    instrument_data.Sensors.Temperature,
    instrument_data.Sensors.Conductivity,
    instrument_data.Sensors.Pressure,
]


def run() -> Result:
    """The best of some rounds of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = _RECORDED if _RECORDED.is_file() else _generated(Path(folder))
        data = path.read_bytes()
        ours = [_ours(data) for _ in range(_ROUNDS)]
        peers = [_peer(path) for _ in range(_ROUNDS)]
    scans = ours[0][0]
    if scans != peers[0][0]:
        raise RuntimeError(f"we found {scans} scans, the peer {peers[0][0]}")
    best = min(seconds for _, seconds in ours)
    read = min(read for _, read, _ in peers)
    whole = min(read + convert for _, read, convert in peers)
    rate, peer_rate = scans / best, scans / whole
    return Result(
        name="decode_sbe37",
        value=rate,
        unit="scans/s",
        peer="seabirdscientific: read_hex_file, then temperature, pressure, conductivity",
        peer_value=peer_rate,
        ratio=rate / peer_rate,
        must="ratio >= 3",
        goal="ratio >= 10",
        details={
            "scans": scans,
            "recorded": path == _RECORDED,
            "mb_per_s": len(data) / best / 1e6,
            "peer_without_conversion_scans_per_s": scans / read,
            "ratio_to_peer_without_conversion": rate * read / scans,
        },
    )


def _ours(data: bytes) -> tuple[int, float]:
    """(scans, seconds)"""
    driver = Sbe37("ctd", Sbe37.Settings(coefficients=_CALIBRATION))
    began = time.perf_counter()
    decoded = []
    for at in range(0, len(data), _PIECE):
        decoded += driver.feed(data[at : at + _PIECE], UNKNOWN)
    decoded += driver.finish()
    seconds = time.perf_counter() - began
    refused = [d for d in decoded if not isinstance(d, Frame) and d.message.startswith("a scan of")]
    return sum(len(d) for d in decoded if isinstance(d, Frame)) + len(refused), seconds


def _peer(path: Path) -> tuple[int, float, float]:
    """(scans, seconds of reading, seconds of converting)"""
    k = {name.lower(): value for name, value in _CALIBRATION.items()}
    temperature_k = coefficients.TemperatureCoefficients(k["ta0"], k["ta1"], k["ta2"], k["ta3"])
    pressure_k = coefficients.PressureCoefficients(**{n: v for n, v in k.items() if n.startswith("p")})
    names = ("g", "h", "i", "j", "cpcor", "ctcor", "wbotc")
    conductivity_k = coefficients.ConductivityCoefficients(*(k[name] for name in names))
    kind = instrument_data.InstrumentType.SBE37SM
    began = time.perf_counter()
    raw = instrument_data.read_hex_file(path, kind, _SENSORS)
    read = time.perf_counter()
    with np.errstate(all="ignore"):
        t = conversion.convert_temperature(raw["temperature"].values, temperature_k)
        p = conversion.convert_pressure(
            raw["pressure"].values, raw["temperature compensation"].values, pressure_k, "dbar"
        )
        conversion.convert_conductivity(raw["conductivity"].values, t, p, conductivity_k, kind)
    ended = time.perf_counter()
    return len(t), read - began, ended - read


def _generated(folder: Path) -> Path:
    """A file of scans of a smooth sea."""
    n = np.arange(_SCANS)
    day = np.sin(2 * np.pi * n / 720.0)
    columns = (
        (290_000 + 20_000 * day, 3),
        (1_700_000 + 50_000 * day, 3),
        (527_000 + 300 * day, 3),
        (1_800 + 20 * day, 2),
        (446_045_401 + 120 * n, 4),
    )
    octets = np.column_stack(
        [
            (column.astype(np.int64) >> (8 * place) & 0xFF).astype(np.uint8)
            for column, width in columns
            for place in range(width - 1, -1, -1)
        ]
    )
    path = folder / "generated.hex"
    path.write_text("*END*\n" + "".join(row.tobytes().hex().upper() + "\n" for row in octets))
    return path
