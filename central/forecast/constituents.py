"""The tidal constituents: where sun and moon stand, and what each constituent makes of it.

A constituent is a cosine whose argument V runs with the astronomy: an integer combination of six angles, its
Doodson numbers. Weaker lines of the tidal potential lie too close to the main line to be resolved in years; these
satellites modulate the constituent slowly by a factor f and a phase u. Compounds (M4 = 2 M2) are made where the tide
runs through shallow water, and take V, f and u from the constituents they are made of. So the tide at one place is

    level(t) = mean + sum over k of A_k f_k(t) cos(V_k(t) + u_k(t) - g_k)

with A the amplitude and g the Greenwich phase lag, both constant. This file holds the facts of that sum.

Sources: the angles are the mean longitudes of the Explanatory Supplement to the Astronomical Ephemeris (1961),
pp. 98 and 107. Doodson numbers, satellites and compounds are those of M. G. G. Foreman, Manual for Tidal Heights
Analysis and Prediction, Pacific Marine Science Report 77-10 (1977, revised 2004), from the potential of Cartwright
and Tayler (1971) and Cartwright and Edden (1973). His SA (h - p'), S1, NO1 (M1) and L2 are not quite those of Schureman
and of NOAA's tables: their constants cannot be exchanged.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DAY_NS = 86_400_000_000_000

# Mean longitudes s of the moon, h of the sun, p of the lunar perigee, N' = -N of the ascending node (negative), p' of
# the perihelion, in degrees: coefficients of 1, d, (d/10000)^2, (d/10000)^3 with d in days since 1899-12-31 12:00.
_LONGITUDES = np.array(
    [
        [270.434164, 13.1763965268, -0.0000850, 0.000000039],
        [279.696678, 0.9856473354, 0.00002267, 0.0],
        [334.329556, 0.1114040803, -0.0007739, -0.00000026],
        [-259.183275, 0.0529539222, -0.0001557, -0.000000050],
        [281.220844, 0.0000470684, 0.0000339, 0.000000070],
    ]
)
_LONGITUDES_EPOCH_D = -25567.5  # 1899-12-31 12:00 in days since 1970-01-01 00:00

# name: (Doodson numbers of tau, s, h, p, N', p'; constant phase in cycles; satellites), and of each satellite its
# offsets from the main line in p, N' and p', its phase in cycles, its amplitude as a share of the main line, and how
# that share depends on the latitude: 0 not, 1 diurnal or 2 semidiurnal line of the third-degree potential.
# fmt: off
_ASTRONOMICAL: dict[
    str,
    tuple[
        tuple[int, int, int, int, int, int],
        float,
        tuple[tuple[int, int, int, float, float, int], ...],
    ],
] = {
    "SA": ((0, 0, 1, 0, 0, -1), 0, ()),
    "SSA": ((0, 0, 2, 0, 0, 0), 0, ()),
    "MSM": ((0, 1, -2, 1, 0, 0), 0, ()),
    "MM": ((0, 1, 0, -1, 0, 0), 0, ()),
    "MSF": ((0, 2, -2, 0, 0, 0), 0, ()),
    "MF": ((0, 2, 0, 0, 0, 0), 0, ()),
    "ALP1": ((1, -4, 2, 1, 0, 0), -0.25, (
        (-1, 0, 0, 0.75, 0.036, 1), (0, -1, 0, 0, 0.1906, 0),
    )),
    "2Q1": ((1, -3, 0, 2, 0, 0), -0.25, (
        (-2, -2, 0, 0.5, 0.0063, 0), (-1, -1, 0, 0.75, 0.0241, 1), (-1, 0, 0, 0.75, 0.0607, 1),
        (0, -2, 0, 0.5, 0.0063, 0), (0, -1, 0, 0, 0.1885, 0),
    )),
    "SIG1": ((1, -3, 2, 0, 0, 0), -0.25, (
        (-1, 0, 0, 0.75, 0.0095, 1), (0, -2, 0, 0.5, 0.0061, 0), (0, -1, 0, 0, 0.1884, 0),
        (2, 0, 0, 0.5, 0.0087, 0),
    )),
    "Q1": ((1, -2, 0, 1, 0, 0), -0.25, (
        (-2, -3, 0, 0.5, 0.0007, 0), (-2, -2, 0, 0.5, 0.0039, 0), (-1, -2, 0, 0.75, 0.001, 1),
        (-1, -1, 0, 0.75, 0.0115, 1), (-1, 0, 0, 0.75, 0.0292, 1), (0, -2, 0, 0.5, 0.0057, 0),
        (-1, 0, 1, 0, 0.0008, 0), (0, -1, 0, 0, 0.1884, 0), (1, 0, 0, 0.75, 0.0018, 1),
        (2, 0, 0, 0.5, 0.0028, 0),
    )),
    "RHO1": ((1, -2, 2, -1, 0, 0), -0.25, (
        (0, -2, 0, 0.5, 0.0058, 0), (0, -1, 0, 0, 0.1882, 0), (1, 0, 0, 0.75, 0.0131, 1),
        (2, 0, 0, 0.5, 0.0576, 0), (2, 1, 0, 0, 0.0175, 0),
    )),
    "O1": ((1, -1, 0, 0, 0, 0), -0.25, (
        (-1, 0, 0, 0.25, 0.0003, 1), (0, -2, 0, 0.5, 0.0058, 0), (0, -1, 0, 0, 0.1885, 0),
        (1, -1, 0, 0.25, 0.0004, 1), (1, 0, 0, 0.75, 0.0029, 1), (1, 1, 0, 0.25, 0.0004, 1),
        (2, 0, 0, 0.5, 0.0064, 0), (2, 1, 0, 0.5, 0.001, 0),
    )),
    "TAU1": ((1, -1, 2, 0, 0, 0), -0.75, (
        (-2, 0, 0, 0, 0.0446, 0), (-1, 0, 0, 0.25, 0.0426, 1), (0, -1, 0, 0.5, 0.0284, 0),
        (0, 1, 0, 0.5, 0.217, 0), (0, 2, 0, 0.5, 0.0142, 0),
    )),
    "BET1": ((1, 0, -2, 1, 0, 0), -0.75, (
        (0, -1, 0, 0, 0.2266, 0),
    )),
    "NO1": ((1, 0, 0, 1, 0, 0), -0.75, (
        (-2, -2, 0, 0.5, 0.0057, 0), (-2, -1, 0, 0, 0.0665, 0), (-2, 0, 0, 0, 0.3596, 0),
        (-1, -1, 0, 0.75, 0.0331, 1), (-1, 0, 0, 0.25, 0.2227, 1), (-1, 1, 0, 0.75, 0.029, 1),
        (0, -1, 0, 0.5, 0.029, 0), (0, 1, 0, 0, 0.2004, 0), (0, 2, 0, 0.5, 0.0054, 0),
    )),
    "CHI1": ((1, 0, 2, -1, 0, 0), -0.75, (
        (0, -1, 0, 0.5, 0.0282, 0), (0, 1, 0, 0, 0.2187, 0),
    )),
    "PI1": ((1, 1, -3, 0, 0, 1), -0.25, (
        (0, -1, 0, 0.5, 0.0078, 0),
    )),
    "P1": ((1, 1, -2, 0, 0, 0), -0.25, (
        (0, -2, 0, 0, 0.0008, 0), (0, -1, 0, 0.5, 0.0112, 0), (0, 0, 2, 0.5, 0.0004, 0),
        (1, 0, 0, 0.75, 0.0004, 1), (2, 0, 0, 0.5, 0.0015, 0), (2, 1, 0, 0.5, 0.0003, 0),
    )),
    "S1": ((1, 1, -1, 0, 0, 1), -0.75, (
        (0, 0, -2, 0, 0.3534, 0), (0, 1, 0, 0.5, 0.0264, 0),
    )),
    "K1": ((1, 1, 0, 0, 0, 0), -0.75, (
        (-2, -1, 0, 0, 0.0002, 0), (-1, -1, 0, 0.75, 0.0001, 1), (-1, 0, 0, 0.25, 0.0007, 1),
        (-1, 1, 0, 0.75, 0.0001, 1), (0, -2, 0, 0, 0.0001, 0), (0, -1, 0, 0.5, 0.0198, 0),
        (0, 1, 0, 0, 0.1356, 0), (0, 2, 0, 0.5, 0.0029, 0), (1, 0, 0, 0.25, 0.0002, 1),
        (1, 1, 0, 0.25, 0.0001, 1),
    )),
    "PSI1": ((1, 1, 1, 0, 0, -1), -0.75, (
        (0, 1, 0, 0, 0.019, 0),
    )),
    "PHI1": ((1, 1, 2, 0, 0, 0), -0.75, (
        (-2, 0, 0, 0, 0.0344, 0), (-2, 1, 0, 0, 0.0106, 0), (0, 0, -2, 0, 0.0132, 0),
        (0, 1, 0, 0.5, 0.0384, 0), (0, 2, 0, 0.5, 0.0185, 0),
    )),
    "THE1": ((1, 2, -2, 1, 0, 0), -0.75, (
        (-2, -1, 0, 0, 0.03, 0), (-1, 0, 0, 0.25, 0.0141, 1), (0, -1, 0, 0.5, 0.0317, 0),
        (0, 1, 0, 0, 0.1993, 0),
    )),
    "J1": ((1, 2, 0, -1, 0, 0), -0.75, (
        (0, -1, 0, 0.5, 0.0294, 0), (0, 1, 0, 0, 0.198, 0), (0, 2, 0, 0.5, 0.0047, 0),
        (1, -1, 0, 0.75, 0.0027, 1), (1, 0, 0, 0.25, 0.0816, 1), (1, 1, 0, 0.25, 0.0331, 1),
        (1, 2, 0, 0.25, 0.0027, 1), (2, 0, 0, 0.5, 0.0152, 0), (2, 1, 0, 0.5, 0.0098, 0),
        (2, 2, 0, 0.5, 0.0057, 0),
    )),
    "OO1": ((1, 3, 0, 0, 0, 0), -0.75, (
        (-2, -1, 0, 0.5, 0.0037, 0), (-2, 0, 0, 0, 0.1496, 0), (-2, 1, 0, 0, 0.0296, 0),
        (-1, 0, 0, 0.25, 0.024, 1), (-1, 1, 0, 0.25, 0.0099, 1), (0, 1, 0, 0, 0.6398, 0),
        (0, 2, 0, 0, 0.1342, 0), (0, 3, 0, 0, 0.0086, 0),
    )),
    "UPS1": ((1, 4, 0, -1, 0, 0), -0.75, (
        (-2, 0, 0, 0, 0.0611, 0), (0, 1, 0, 0, 0.6399, 0), (0, 2, 0, 0, 0.1318, 0),
        (1, 0, 0, 0.25, 0.0289, 1), (1, 1, 0, 0.25, 0.0257, 1),
    )),
    "OQ2": ((2, -3, 0, 3, 0, 0), 0, (
        (-1, 0, 0, 0.25, 0.1042, 2), (0, -1, 0, 0.5, 0.0386, 0),
    )),
    "EPS2": ((2, -3, 2, 1, 0, 0), 0, (
        (-1, -1, 0, 0.25, 0.0075, 2), (-1, 0, 0, 0.25, 0.0402, 2), (0, -1, 0, 0.5, 0.0373, 0),
    )),
    "2N2": ((2, -2, 0, 2, 0, 0), 0, (
        (-2, -2, 0, 0.5, 0.0061, 0), (-1, -1, 0, 0.25, 0.0117, 2), (-1, 0, 0, 0.25, 0.0678, 2),
        (0, -1, 0, 0.5, 0.0374, 0),
    )),
    "MU2": ((2, -2, 2, 0, 0, 0), 0, (
        (-1, -1, 0, 0.25, 0.0018, 2), (-1, 0, 0, 0.25, 0.0104, 2), (0, -1, 0, 0.5, 0.0375, 0),
    )),
    "N2": ((2, -1, 0, 1, 0, 0), 0, (
        (-2, -2, 0, 0.5, 0.0039, 0), (-1, 0, 1, 0, 0.0008, 0), (0, -2, 0, 0, 0.0005, 0),
        (0, -1, 0, 0.5, 0.0373, 0),
    )),
    "NU2": ((2, -1, 2, -1, 0, 0), 0, (
        (0, -1, 0, 0.5, 0.0373, 0), (1, 0, 0, 0.75, 0.0042, 2), (2, 0, 0, 0, 0.0042, 0),
        (2, 1, 0, 0.5, 0.0036, 0),
    )),
    "GAM2": ((2, 0, -2, 2, 0, 0), -0.5, (
        (-2, -2, 0, 0, 0.1429, 0), (-1, 0, 0, 0.25, 0.0293, 2), (0, -1, 0, 0.5, 0.033, 0),
    )),
    "H1": ((2, 0, -1, 0, 0, 1), -0.5, (
        (0, -1, 0, 0.5, 0.0224, 0), (1, 0, -1, 0.5, 0.0447, 0),
    )),
    "M2": ((2, 0, 0, 0, 0, 0), 0, (
        (-1, -1, 0, 0.75, 0.0001, 2), (-1, 0, 0, 0.75, 0.0004, 2), (0, -2, 0, 0, 0.0005, 0),
        (0, -1, 0, 0.5, 0.0373, 0), (1, -1, 0, 0.25, 0.0001, 2), (1, 0, 0, 0.75, 0.0009, 2),
        (1, 1, 0, 0.75, 0.0002, 2), (2, 0, 0, 0, 0.0006, 0), (2, 1, 0, 0, 0.0002, 0),
    )),
    "H2": ((2, 0, 1, 0, 0, -1), 0, (
        (0, -1, 0, 0.5, 0.0217, 0),
    )),
    "LDA2": ((2, 1, -2, 1, 0, 0), -0.5, (
        (0, -1, 0, 0.5, 0.0448, 0),
    )),
    "L2": ((2, 1, 0, -1, 0, 0), -0.5, (
        (0, -1, 0, 0.5, 0.0366, 0), (2, -1, 0, 0, 0.0047, 0), (2, 0, 0, 0.5, 0.2505, 0),
        (2, 1, 0, 0.5, 0.1102, 0), (2, 2, 0, 0.5, 0.0156, 0),
    )),
    "T2": ((2, 2, -3, 0, 0, 1), 0, ()),
    "S2": ((2, 2, -2, 0, 0, 0), 0, (
        (0, -1, 0, 0, 0.0022, 0), (1, 0, 0, 0.75, 0.0001, 2), (2, 0, 0, 0, 0.0001, 0),
    )),
    "R2": ((2, 2, -1, 0, 0, -1), -0.5, (
        (0, 0, 2, 0.5, 0.2535, 0), (0, 1, 2, 0, 0.0141, 0),
    )),
    "K2": ((2, 2, 0, 0, 0, 0), 0, (
        (-1, 0, 0, 0.75, 0.0024, 2), (-1, 1, 0, 0.75, 0.0004, 2), (0, -1, 0, 0.5, 0.0128, 0),
        (0, 1, 0, 0, 0.298, 0), (0, 2, 0, 0, 0.0324, 0),
    )),
    "ETA2": ((2, 3, 0, -1, 0, 0), 0, (
        (0, -1, 0, 0.5, 0.0187, 0), (0, 1, 0, 0, 0.4355, 0), (0, 2, 0, 0, 0.0467, 0),
        (1, 0, 0, 0.75, 0.0747, 2), (1, 1, 0, 0.75, 0.0482, 2), (1, 2, 0, 0.75, 0.0093, 2),
        (2, 0, 0, 0.5, 0.0078, 0),
    )),
    "M3": ((3, 0, 0, 0, 0, 0), -0.5, (
        (0, -1, 0, 0.5, 0.0564, 0),
    )),
}
# fmt: on

_COMPOUND: dict[str, dict[str, int]] = {
    "SO1": {"S2": 1, "O1": -1},
    "MKS2": {"M2": 1, "K2": 1, "S2": -1},
    "MSN2": {"M2": 1, "S2": 1, "N2": -1},
    "2SM2": {"S2": 2, "M2": -1},
    "MO3": {"M2": 1, "O1": 1},
    "SO3": {"S2": 1, "O1": 1},
    "MK3": {"M2": 1, "K1": 1},
    "SK3": {"S2": 1, "K1": 1},
    "MN4": {"M2": 1, "N2": 1},
    "M4": {"M2": 2},
    "SN4": {"S2": 1, "N2": 1},
    "MS4": {"M2": 1, "S2": 1},
    "MK4": {"M2": 1, "K2": 1},
    "S4": {"S2": 2},
    "SK4": {"S2": 1, "K2": 1},
    "2MK5": {"M2": 2, "K1": 1},
    "2SK5": {"S2": 2, "K1": 1},
    "2MN6": {"M2": 2, "N2": 1},
    "M6": {"M2": 3},
    "2MS6": {"M2": 2, "S2": 1},
    "2MK6": {"M2": 2, "K2": 1},
    "2SM6": {"S2": 2, "M2": 1},
    "MSK6": {"M2": 1, "S2": 1, "K2": 1},
    "S6": {"S2": 3},
    "3MK7": {"M2": 3, "K1": 1},
    "M8": {"M2": 4},
}

# Foreman's standard package, with 2SM2 and S6 of the tide tables of NOAA. The most important come first: by their
# part in the equilibrium tide, and compounds after the astronomical constituents. Of two that a record cannot tell
# apart, the first is kept.
# fmt: off
CONSTITUENTS: tuple[str, ...] = (
    "M2", "K1", "S2", "O1", "P1", "N2", "MF", "K2", "MM", "SSA", "Q1", "NU2", "J1", "NO1", "MU2", "L2",
    "T2", "2N2", "OO1", "MSF", "RHO1", "M3", "SA", "SIG1", "PI1", "2Q1", "PHI1", "THE1", "LDA2", "EPS2",
    "ETA2", "CHI1", "TAU1", "S1", "PSI1", "R2", "UPS1", "H1", "ALP1", "BET1", "H2", "GAM2", "OQ2", "MSM",
    "M4", "MS4", "MN4", "M6", "2MS6", "MK3", "MO3", "S4", "2MN6", "2SM6", "SK3", "SO3", "M8", "MK4", "SN4",
    "SK4", "2MK6", "MSK6", "2SM2", "MSN2", "MKS2", "SO1", "2MK5", "2SK5", "S6", "3MK7",
)
# fmt: on


def speed(constituents: Sequence[str]) -> NDArray[np.float64]:
    """Angular speed of V in rad/s, float64 (k,); the mean rates of the longitudes, which hold for centuries."""
    s, h, p, node, perihelion = _LONGITUDES[:, 1]
    rate = np.array([360.0 + h - s, s, h, p, node, perihelion])
    radians: NDArray[np.float64] = np.deg2rad(_recipes(constituents) @ _DOODSON @ rate)
    return radians / 86_400.0


def basis(
    constituents: Sequence[str], time_ns: NDArray[np.int64], latitude: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """The tide of unit amplitude and no phase lag, f exp(i (V + u)), complex128 (s, t, k).

    `time_ns` is (t,) nanoseconds UTC since 1970, `latitude` (s,) degrees north. For a compound, f is the product
    of the factors of its parts, and V and u are their sums, taken with the signs of its recipe (Foreman 1977,
    section 2.1.4).
    """
    recipes = _recipes(constituents)
    tau_to_perihelion = _longitudes(time_ns)
    v = 2 * np.pi * (tau_to_perihelion @ (recipes @ _DOODSON).T + recipes @ _SEMI)
    factor = _nodal(tau_to_perihelion[:, 3:], latitude)
    unit = np.broadcast_to(np.exp(1j * v), (len(latitude), *v.shape)).copy()
    for k, recipe in enumerate(recipes):
        for line in np.flatnonzero(recipe):
            part = factor[:, :, line] if recipe[line] > 0 else factor[:, :, line].conj()
            for _ in range(abs(recipe[line])):
                unit[:, :, k] *= part
    return unit


def _longitudes(time_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """tau, s, h, p, N', p' in cycles, float64 (t, 6). tau, the mean lunar time, is the hour of the day + h - s."""
    day = time_ns / _DAY_NS - _LONGITUDES_EPOCH_D
    square = (day / 10_000) ** 2
    terms = np.stack([np.ones_like(day), day, square, square * day / 10_000], axis=1)
    longitude = (terms @ _LONGITUDES.T / 360.0) % 1.0
    tau = (time_ns % _DAY_NS) / _DAY_NS + longitude[:, 1] - longitude[:, 0]
    return np.column_stack([tau, longitude])


def _nodal(slow: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.complex128]:
    """f exp(i u) of every astronomical constituent, complex128 (s, t, lines), from p, N', p' in cycles (t, 3).

    f exp(i u) = 1 + sum over the satellites of r G exp(2 pi i (offsets . (p, N', p') + phase)): Foreman (1977),
    section 2.1.3. G is 1 for a satellite of the second-degree potential. For one of the third degree it is the
    quotient of the two latitude functions (Godin, The Analysis of Tides, 1972): 0.36309 (1 - 5 sin^2 lat) / sin lat
    in the diurnal and 2.59808 sin lat in the semidiurnal band. The former has
    no meaning towards the equator, where the equilibrium diurnal tide vanishes but that of real seas does not; so,
    as usual, latitudes below 5 degrees count as 5 degrees on their own side.
    """
    sine = np.sin(np.deg2rad(np.where(latitude < 0, np.minimum(latitude, -5.0), np.maximum(latitude, 5.0))))
    kinds = np.stack([np.ones_like(sine), 0.36309 * (1 - 5 * sine**2) / sine, 2.59808 * sine], axis=1)
    satellites = np.exp(2j * np.pi * (slow @ _SATELLITE_OFFSETS.T + _SATELLITE_PHASE))
    sums = np.stack([satellites @ shares for shares in _SATELLITE_SHARES])
    factor: NDArray[np.complex128] = 1.0 + np.einsum("sg,gtk->stk", kinds, sums)
    return factor


def _recipes(constituents: Sequence[str]) -> NDArray[np.int64]:
    """How often each astronomical constituent enters each of the given ones, int64 (k, lines)."""
    recipes = np.zeros((len(constituents), len(_LINES)), dtype=np.int64)
    for k, name in enumerate(constituents):
        for line, count in _COMPOUND.get(name, {name: 1}).items():
            recipes[k, _LINES.index(line)] = count
    return recipes


_LINES = list(_ASTRONOMICAL)
_DOODSON = np.array([doodson for doodson, _, _ in _ASTRONOMICAL.values()])
_SEMI = np.array([semi for _, semi, _ in _ASTRONOMICAL.values()])
_SATELLITES = np.array(
    [(line, *satellite) for line, (_, _, rows) in enumerate(_ASTRONOMICAL.values()) for satellite in rows]
)
_SATELLITE_OFFSETS = _SATELLITES[:, 1:4]
_SATELLITE_PHASE = _SATELLITES[:, 4]
# Amplitude share of each satellite in each line, one matrix for each kind of dependence on the latitude.
_SATELLITE_SHARES = [
    (_SATELLITES[:, :1] == np.arange(len(_LINES))) * np.where(_SATELLITES[:, 6:] == kind, _SATELLITES[:, 5:6], 0.0)
    for kind in range(3)
]
