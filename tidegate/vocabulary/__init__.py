"""The parameters that Tidegate carries: one name, one unit and one resolution for each, on every page and wire.

A parameter's `name` is its CF standard name (CF Standard Name Table, version 93), or that name with a suffix where an
instrument gives several of a kind (`_beam_1` of an ADCP). Where CF has no name, `standard_name` is None and the name is
ours. Units are UDUNITS in CF's spelling. `resolution` is the usual least step of the instruments that measure it (a
driver may declare a finer or coarser one); `plausible` is the widest span in which a value can be real on Earth: a
driver uses it to refuse nonsense, never to judge quality, which is the hub's work.

Each group of parameters is a module here; `docs/reference/parameters.md` lists them all.
"""

from tidegate.vocabulary.currents import CURRENTS
from tidegate.vocabulary.instrument import INSTRUMENT
from tidegate.vocabulary.parameter import Parameter
from tidegate.vocabulary.platform import PLATFORM
from tidegate.vocabulary.sea_water import SEA_WATER
from tidegate.vocabulary.tracks import TRACKS
from tidegate.vocabulary.water_level import WATER_LEVEL
from tidegate.vocabulary.waves import WAVES
from tidegate.vocabulary.weather import WEATHER

__all__ = ["GROUPS", "PARAMETERS", "Parameter", "parameter"]

GROUPS: dict[str, tuple[Parameter, ...]] = {
    "Sea water": SEA_WATER,
    "Water level": WATER_LEVEL,
    "Waves": WAVES,
    "Currents": CURRENTS,
    "Tracks of Doppler instruments": TRACKS,
    "Platform": PLATFORM,
    "Weather": WEATHER,
    "Instrument": INSTRUMENT,
}
PARAMETERS: dict[str, Parameter] = {p.name: p for group in GROUPS.values() for p in group}


def parameter(name: str) -> Parameter:
    """The parameter of that name; a name that nobody declared raises `KeyError` with the nearest known names."""
    try:
        return PARAMETERS[name]
    except KeyError:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(name, PARAMETERS, n=3)) or "see docs/reference/parameters.md"
        raise KeyError(f"no parameter is called {name!r}; did you mean: {near}?") from None
