"""Water level, as tide gauges measure it."""

from tidegate.vocabulary.parameter import Parameter, own, standard

WATER_LEVEL: tuple[Parameter, ...] = (
    standard("water_surface_height_above_reference_datum", "Water level", "m", 1e-3, -100.0, 100.0),
    own("distance_from_sensor_to_water_surface", "Distance to water", "m", 1e-3, 0.0, 150.0),
    own("standard_deviation_of_water_level", "Water level scatter", "m", 1e-3, 0.0, 100.0),
)
