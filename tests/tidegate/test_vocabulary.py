"""The vocabulary against CF's own table, against itself, and against the page that lists it.

After a change `python -m tests.tidegate.test_vocabulary > docs/reference/parameters.md` writes the page anew.
"""

import re
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from tidegate.vocabulary import GROUPS, PARAMETERS, Parameter, parameter

PAGE = Path(__file__).parents[2] / "docs/reference/parameters.md"

# CF Standard Name Table, version 93 (2026-03-17): names by their canonical unit, without aliases.
CF = {
    "1": """
        beam_consistency_indicator_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water
        fractional_saturation_of_oxygen_in_sea_water
        proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water
        relative_humidity
        sea_water_ph_reported_on_total_scale
        sea_water_practical_salinity
        sea_water_turbidity
        signal_intensity_from_multibeam_acoustic_doppler_velocity_sensor_in_sea_water
        volume_fraction_of_oxygen_in_sea_water
    """,
    "K": """
        air_temperature
        dew_point_temperature
        heat_index_of_air_temperature
        sea_water_temperature
        temperature_of_sensor_for_oxygen_in_sea_water
        wet_bulb_temperature
        wind_chill_of_air_temperature
    """,
    "Pa": """
        air_pressure
        air_pressure_at_mean_sea_level
    """,
    "S m-1": """
        sea_water_electrical_conductivity
        sea_water_electrical_conductivity_at_reference_temperature
    """,
    "W m-2": """
        surface_downwelling_longwave_flux_in_air
        surface_downwelling_shortwave_flux_in_air
    """,
    "dbar": """
        sea_water_pressure
        sea_water_pressure_due_to_sea_water
    """,
    "degree": """
        platform_course
        platform_orientation
        platform_pitch_fore_up
        platform_roll_starboard_down
        sea_surface_wave_directional_spread
        sea_surface_wave_directional_spread_at_variance_spectral_density_maximum
        sea_surface_wave_from_direction
        sea_surface_wave_from_direction_at_variance_spectral_density_maximum
        sea_water_velocity_to_direction
        wind_from_direction
        wind_gust_from_direction
    """,
    "degree s-1": """
        platform_pitch_rate_fore_up
        platform_roll_rate_starboard_down
        platform_yaw_rate_fore_starboard
    """,
    "degree_east": """
        longitude
    """,
    "degree_north": """
        latitude
    """,
    "kg m-3": """
        mass_concentration_of_chlorophyll_in_sea_water
        mass_concentration_of_oxygen_in_sea_water
        mass_concentration_of_water_vapor_in_air
        sea_water_density
        sea_water_sigma_t
    """,
    "m": """
        altitude
        depth
        geoid_height_above_reference_ellipsoid
        platform_heave_down
        platform_heave_up
        sea_floor_depth_below_sea_surface
        sea_surface_wave_maximum_height
        sea_surface_wave_mean_height_of_highest_tenth
        sea_surface_wave_significant_height
        thickness_of_rainfall_amount
        water_surface_height_above_reference_datum
    """,
    "m s-1": """
        eastward_sea_water_velocity
        eastward_wind
        indicative_error_from_multibeam_acoustic_doppler_velocity_profiler_in_sea_water
        northward_sea_water_velocity
        northward_wind
        platform_heave_rate_down
        platform_speed_wrt_ground
        platform_speed_wrt_sea_water
        radial_sea_water_velocity_away_from_instrument
        radial_sea_water_velocity_toward_instrument
        rainfall_rate
        sea_water_speed
        sea_water_x_velocity
        sea_water_y_velocity
        speed_of_sound_in_air
        speed_of_sound_in_sea_water
        upward_air_velocity
        upward_sea_water_velocity
        wind_speed
        wind_speed_of_gust
    """,
    "m2 s": """
        sea_surface_wave_variance_spectral_density
    """,
    "mol m-2 s-1": """
        downwelling_photosynthetic_photon_flux_in_sea_water
        surface_downwelling_photosynthetic_photon_flux_in_air
    """,
    "mol m-3": """
        mole_concentration_of_dissolved_molecular_oxygen_in_sea_water
    """,
    "s": """
        sea_surface_wave_mean_period
        sea_surface_wave_mean_period_from_variance_spectral_density_second_frequency_moment
        sea_surface_wave_period_at_variance_spectral_density_maximum
    """,
}
CANONICAL_UNITS = {name: unit for unit, names in CF.items() for name in names.split()}
# What our units are multiples of, temperatures apart from their zero.
DIMENSIONS = {
    **dict.fromkeys(("1e-3", "percent", "mL L-1"), "1"),
    "degC": "K",
    "hPa": "Pa",
    "mm": "m",
    "mm h-1": "m s-1",
    **dict.fromkeys(("ug L-1", "mg L-1", "g m-3"), "kg m-3"),
    "umol L-1": "mol m-3",
    "umol m-2 s-1": "mol m-2 s-1",
}


@pytest.mark.parametrize("p", [p for p in PARAMETERS.values() if p.standard_name], ids=lambda p: p.name)
def test_standard_names_are_in_the_table_of_cf_with_a_unit_that_converts(p: Parameter) -> None:
    assert p.standard_name in CANONICAL_UNITS, "look it up in the table, and add it above with its unit"
    assert DIMENSIONS.get(p.unit, p.unit) == CANONICAL_UNITS[p.standard_name]


def test_each_name_and_each_label_stands_for_one_thing() -> None:
    every = [p for group in GROUPS.values() for p in group]
    for what in ("name", "label"):
        assert [word for word, n in Counter(getattr(p, what) for p in every).items() if n > 1] == []


@pytest.mark.parametrize("p", PARAMETERS.values(), ids=lambda p: p.name)
def test_a_parameter_makes_sense(p: Parameter) -> None:
    low, high = p.plausible
    assert re.fullmatch(r"[a-z][a-z0-9_]*", p.name)
    assert low < high
    assert 0 < p.resolution <= high - low
    assert not p.integer or (p.resolution, int(low), int(high)) == (1, low, high)
    # A name of CF without CF's claim would be another quantity under its name.
    assert p.standard_name or p.name not in CANONICAL_UNITS


def test_an_unknown_name_brings_the_nearest_ones() -> None:
    with pytest.raises(KeyError, match="did you mean: sea_water_temperature"):
        parameter("sea_water_temprature")


def test_the_page_lists_the_vocabulary() -> None:
    assert PAGE.read_text() == page(), f"run: python -m {__name__} > docs/reference/parameters.md"


def page() -> str:
    """docs/reference/parameters.md."""
    text = """# Parameters

Every name that a stream may have without a station's naming it, in groups. The last column is the CF standard name:
the name itself, another, or none (-). Usual resolutions and plausible spans stand in `tidegate/vocabulary/`.
"""
    for title, group in GROUPS.items():
        text += f"\n## {title}\n\n| name | label | unit | CF standard name |\n| --- | --- | --- | --- |\n"
        for _, alike in groupby(group, lambda p: re.sub(r"_beam_\d$", "_beam_n", p.name)):
            p, *more = alike
            name, label = f"`{p.name}`", p.label
            if more:
                last = f" to {1 + len(more)}"
                name, label = name + last, label.replace("beam 1", f"beams 1{last}")
            cf = "-" if p.standard_name is None else "the name" if p.standard_name == p.name else f"`{p.standard_name}`"
            text += f"| {name} | {label} | {p.unit} | {cf} |\n"
    return text


if __name__ == "__main__":
    print(page(), end="")
