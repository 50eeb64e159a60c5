"""What a station at sea usually measures, for simulated instruments that may be of any kind."""

import numpy as np

from drivers.simulators.sea import Sea
from tidegate.vocabulary import PARAMETERS


def usual(sea: Sea, parameter: str, t_s: float) -> float | None:
    """A parameter at this moment in the vocabulary's unit; None of what depends on nothing that `sea` knows."""
    level, ship = float(sea.level_m(t_s)), sea.ship(t_s)
    temperature, salinity = float(sea.temperature_c(t_s)), float(sea.salinity(t_s))
    by_name: dict[str, float] = {
        "sea_water_temperature": temperature,
        "sea_water_practical_salinity": salinity,
        "sea_water_electrical_conductivity": 5.1,
        "sea_water_electrical_conductivity_at_reference_temperature": 4.8,
        "speed_of_sound_in_sea_water": 1541.0,
        "water_surface_height_above_reference_datum": level,
        "distance_from_sensor_to_water_surface": 9.0 - level,
        "sea_water_pressure": level + 15.0,
        "sea_water_pressure_due_to_sea_water": level + 5.0,
        "temperature_of_pressure_sensor": temperature,
        "depth": level + 5.0,
        "sea_floor_depth_below_transducer": sea.depth_m + level,
        "mass_concentration_of_oxygen_in_sea_water": 6.3,
        "fractional_saturation_of_oxygen_in_sea_water": 97.0,
        "mass_concentration_of_chlorophyll_in_sea_water": 1.4,
        "sea_water_turbidity": 4.2,
        "sea_water_ph_reported_on_nbs_scale": 8.05,
        "sea_water_ph_reported_on_total_scale": 8.01,
        "sea_water_oxidation_reduction_potential": 205.0,
        "sea_surface_wave_significant_height": 0.6,
        "sea_surface_wave_significant_height_from_standard_deviation": 0.58,
        "sea_surface_wave_mean_height_of_highest_third": 0.61,
        "sea_surface_wave_mean_period": 4.3,
        "standard_deviation_of_water_level": 0.03,
        "air_pressure": 1009.0,
        "air_temperature": 28.4,
        "relative_humidity": 81.0,
        "relative_wind_speed": 6.2,
        "wind_speed": 6.2,
        "battery_voltage": 12.4,
        "latitude": ship[0],
        "longitude": ship[1],
    }
    return by_name.get(parameter)


def anything(parameter: str, random: np.random.Generator) -> float:
    """A value of a parameter, well within what is plausible."""
    known = PARAMETERS.get(parameter)
    low, high = known.plausible if known else (0.0, 100.0)
    low, high = max(low, -1e4), min(high, 1e4)
    return float(random.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low)))


def measured(sea: Sea, parameter: str, t_s: float, random: np.random.Generator) -> float:
    """A parameter at this moment, with a little noise, or else anything plausible."""
    value = usual(sea, parameter, t_s)
    return anything(parameter, random) if value is None else value * (1.0 + 1e-4 * float(random.normal()))
