"""Weather, as stations on shore and on masts measure it."""

from tidegate.vocabulary.parameter import Parameter, own, standard

WEATHER: tuple[Parameter, ...] = (
    standard("air_temperature", "Air temperature", "degC", 0.01, -90.0, 60.0),
    standard("dew_point_temperature", "Dew point", "degC", 0.1, -100.0, 60.0),
    standard("wind_chill_of_air_temperature", "Wind chill", "degC", 0.1, -150.0, 60.0),
    standard("heat_index_of_air_temperature", "Heat index", "degC", 0.1, -90.0, 120.0),
    standard("wet_bulb_temperature", "Wet bulb temperature", "degC", 0.1, -100.0, 60.0),
    standard("air_temperature_2", "Air temperature, second sensor", "degC", 0.01, -90.0, 60.0, "air_temperature"),
    own("sonic_air_temperature", "Sonic temperature", "degC", 0.01, -90.0, 90.0),
    own("temperature_of_auxiliary_sensor", "Auxiliary temperature", "degC", 0.1, -200.0, 850.0),
    standard("relative_humidity", "Relative humidity", "percent", 0.1, 0.0, 110.0),
    standard("mass_concentration_of_water_vapor_in_air", "Absolute humidity", "g m-3", 0.01, 0.0, 200.0),
    standard("air_pressure", "Air pressure", "hPa", 0.01, 500.0, 1100.0),
    standard("air_pressure_at_mean_sea_level", "Air pressure at sea level", "hPa", 0.01, 500.0, 1100.0),
    standard("speed_of_sound_in_air", "Sound speed in air", "m s-1", 0.01, 250.0, 450.0),
    # Wind: true, along axes, and relative to a moving platform.
    standard("wind_speed", "Wind speed", "m s-1", 0.01, 0.0, 120.0),
    own("wind_speed_minimum", "Wind speed, lowest", "m s-1", 0.01, 0.0, 150.0),
    standard("wind_speed_of_gust", "Gust", "m s-1", 0.01, 0.0, 150.0),
    standard("wind_from_direction", "Wind direction", "degree", 0.1, 0.0, 360.0),
    own("wind_from_direction_minimum", "Wind direction, leftmost", "degree", 0.1, 0.0, 360.0),
    own("wind_from_direction_maximum", "Wind direction, rightmost", "degree", 0.1, 0.0, 360.0),
    standard("eastward_wind", "Wind to east", "m s-1", 0.01, -120.0, 120.0),
    standard("northward_wind", "Wind to north", "m s-1", 0.01, -120.0, 120.0),
    standard("upward_air_velocity", "Wind upward", "m s-1", 0.01, -60.0, 60.0),
    standard("wind_gust_from_direction", "Gust direction", "degree", 0.1, 0.0, 360.0),
    standard("wind_speed_average", "Wind speed, average", "m s-1", 0.01, 0.0, 120.0, "wind_speed"),
    standard(
        "wind_from_direction_average", "Wind direction, average", "degree", 0.1, 0.0, 360.0, "wind_from_direction"
    ),
    own("relative_wind_speed", "Relative wind speed", "m s-1", 0.01, 0.0, 150.0),
    own("relative_wind_from_direction", "Relative wind direction", "degree", 0.1, 0.0, 360.0),
    own("relative_wind_speed_minimum", "Relative wind speed, lowest", "m s-1", 0.01, 0.0, 150.0),
    own("relative_wind_speed_average", "Relative wind speed, average", "m s-1", 0.01, 0.0, 150.0),
    own("relative_wind_speed_of_gust", "Relative gust", "m s-1", 0.01, 0.0, 150.0),
    own("relative_wind_from_direction_minimum", "Relative wind, leftmost", "degree", 0.1, 0.0, 360.0),
    own("relative_wind_from_direction_average", "Relative wind direction, average", "degree", 0.1, 0.0, 360.0),
    own("relative_wind_from_direction_maximum", "Relative wind, rightmost", "degree", 0.1, 0.0, 360.0),
    own("relative_wind_gust_from_direction", "Relative gust direction", "degree", 0.1, 0.0, 360.0),
    own("relative_wind_forward", "Relative wind toward the bow", "m s-1", 0.01, -150.0, 150.0),
    own("relative_wind_starboard", "Relative wind to starboard", "m s-1", 0.01, -150.0, 150.0),
    own("wind_from_direction_relative_to_bow", "Wind direction off the bow", "degree", 0.1, 0.0, 360.0),
    # Rain and hail.
    standard("thickness_of_rainfall_amount", "Rain", "mm", 0.01, 0.0, 10000.0),
    own("duration_of_rainfall", "Rain duration", "s", 1, 0.0, 1e9),
    standard(
        "thickness_of_rainfall_amount_2", "Rain, second gauge", "mm", 0.01, 0.0, 10000.0, "thickness_of_rainfall_amount"
    ),
    standard("rainfall_rate", "Rain rate", "mm h-1", 0.01, 0.0, 1000.0),
    own("rainfall_rate_maximum", "Rain rate, highest", "mm h-1", 0.01, 0.0, 1000.0),
    own("hail_amount", "Hail", "cm-2", 0.1, 0.0, 10000.0),
    own("duration_of_hail", "Hail duration", "s", 1, 0.0, 1e9),
    own("hail_rate", "Hail rate", "cm-2 h-1", 0.1, 0.0, 10000.0),
    own("hail_rate_maximum", "Hail rate, highest", "cm-2 h-1", 0.1, 0.0, 10000.0),
    # Radiation.
    standard("surface_downwelling_shortwave_flux_in_air", "Shortwave radiation", "W m-2", 0.1, -50.0, 2000.0),
    standard("surface_downwelling_longwave_flux_in_air", "Longwave radiation", "W m-2", 0.1, -100.0, 800.0),
    standard(
        "surface_downwelling_photosynthetic_photon_flux_in_air", "PAR in air", "umol m-2 s-1", 0.01, -10.0, 5000.0
    ),
    # What a transmitter reads of sensors that are connected to it.
    own("level_sensor_voltage", "Level sensor", "V", 1e-6, -100.0, 100.0),
    own("radiation_sensor_voltage", "Radiation sensor", "V", 1e-6, -100.0, 100.0),
)
