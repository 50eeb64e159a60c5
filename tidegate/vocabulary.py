"""The parameters that Tidegate carries: one name, one unit and one resolution for each, on every page and wire.

A parameter's `name` is its CF standard name (CF Standard Name Table, version 89), or that name with a suffix where an
instrument gives several of a kind (`_beam_1` of an ADCP). Where CF has no name, `standard_name` is None and the name is
ours. Units are UDUNITS in CF's spelling. `resolution` is the usual least step of the instruments that measure it (a
driver may declare a finer or coarser one); `plausible` is the widest span in which a value can be real on Earth: a
driver uses it to refuse nonsense, never to judge quality, which is the hub's work.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Parameter:
    """One measurable quantity.

    `resolution` and `plausible` are in `unit`; `integer` says that values are whole numbers (int64 in a Frame).
    """

    name: str
    label: str
    unit: str
    resolution: float
    plausible: tuple[float, float]
    standard_name: str | None
    integer: bool = False


def _p(
    name: str,
    label: str,
    unit: str,
    resolution: float,
    low: float,
    high: float,
    *,
    cf: str | None = "",
    integer: bool = False,
) -> Parameter:
    return Parameter(name, label, unit, resolution, (low, high), name if cf == "" else cf, integer)


def _beams(parameter: Parameter, count: int = 5) -> list[Parameter]:
    return [
        replace(parameter, name=f"{parameter.name}_beam_{b}", label=f"{parameter.label}, beam {b}")
        for b in range(1, count + 1)
    ]


_ADCP = "from_multibeam_acoustic_doppler_velocity"

_ALL = [
    # Sea water, from CTDs, thermosalinographs, pressure and temperature sensors.
    _p("sea_water_temperature", "Temperature", "degC", 1e-4, -5.0, 45.0),
    _p("sea_water_electrical_conductivity", "Conductivity", "S m-1", 1e-5, -0.1, 12.0),
    _p(
        "sea_water_practical_salinity",
        "Practical salinity",
        "1e-3",
        1e-4,
        -0.1,
        80.0,
        cf="sea_water_practical_salinity",
    ),
    # CF: `sea_water_pressure` includes the air above; `…_due_to_sea_water` does not (what CTDs print).
    _p("sea_water_pressure", "Pressure, absolute", "dbar", 1e-3, 0.0, 12000.0),
    _p("sea_water_pressure_due_to_sea_water", "Pressure", "dbar", 1e-3, -20.0, 12000.0),
    _p("speed_of_sound_in_sea_water", "Sound speed", "m s-1", 1e-3, 1300.0, 1800.0),
    _p("sea_water_density", "Density", "kg m-3", 1e-4, 950.0, 1100.0),
    _p("sea_water_sigma_t", "Sigma-t", "kg m-3", 1e-4, -50.0, 100.0),
    _p("depth", "Depth", "m", 1e-3, -20.0, 12000.0),
    _p(
        "sea_water_electrical_conductivity_at_reference_temperature",
        "Specific conductivity (25 degC)",
        "S m-1",
        1e-5,
        -0.1,
        12.0,
    ),
    _p("volume_fraction_of_oxygen_in_sea_water", "Oxygen", "mL L-1", 1e-3, -0.5, 30.0),
    _p("mass_concentration_of_oxygen_in_sea_water", "Oxygen", "mg L-1", 1e-3, -0.5, 45.0),
    _p("mole_concentration_of_dissolved_molecular_oxygen_in_sea_water", "Oxygen", "umol L-1", 1e-2, -20.0, 1500.0),
    _p("fractional_saturation_of_oxygen_in_sea_water", "Oxygen saturation", "percent", 1e-2, -5.0, 400.0),
    _p("mass_concentration_of_chlorophyll_in_sea_water", "Chlorophyll", "ug L-1", 1e-3, -5.0, 1000.0),
    _p("sea_water_turbidity", "Turbidity (NTU)", "1", 1e-3, -10.0, 5000.0),
    _p("downwelling_photosynthetic_photon_flux_in_sea_water", "PAR", "umol m-2 s-1", 1e-3, -10.0, 5000.0),
    _p("sea_water_temperature_2", "Temperature, second sensor", "degC", 1e-4, -5.0, 45.0, cf="sea_water_temperature"),
    _p(
        "sea_water_electrical_conductivity_2",
        "Conductivity, second sensor",
        "S m-1",
        1e-5,
        -0.1,
        12.0,
        cf="sea_water_electrical_conductivity",
    ),
    _p(
        "sea_water_temperature_at_intake",
        "Temperature at the intake",
        "degC",
        1e-4,
        -5.0,
        45.0,
        cf="sea_water_temperature",
    ),
    # A burst is sampled at hertz, so it is a stream of its own beside the tide's averages.
    _p(
        "sea_water_pressure_in_wave_burst",
        "Pressure in a wave burst, absolute",
        "dbar",
        1e-5,
        0.0,
        12000.0,
        cf="sea_water_pressure",
    ),
    _p("sea_water_ph_reported_on_total_scale", "pH", "1", 1e-4, 0.0, 14.0),
    _p(
        "sea_water_ph_reported_on_total_scale_internal_electrode",
        "pH, internal electrode",
        "1",
        1e-4,
        0.0,
        14.0,
        cf="sea_water_ph_reported_on_total_scale",
    ),
    _p("external_ph_electrode_voltage", "pH external electrode", "V", 1e-6, -2.5, 2.5, cf=None),
    _p("internal_ph_electrode_voltage", "pH internal electrode", "V", 1e-6, -2.5, 2.5, cf=None),
    _p("temperature_of_ph_sensor", "pH sensor temperature", "degC", 1e-4, -5.0, 50.0, cf=None),
    _p("temperature_of_pressure_sensor", "Pressure sensor temperature", "degC", 1e-3, -40.0, 85.0, cf=None),
    _p("temperature_of_oxygen_sensor", "Oxygen sensor temperature", "degC", 1e-4, -40.0, 85.0, cf=None),
    _p("oxygen_phase_delay", "Oxygen sensor phase delay", "us", 1e-5, 0.0, 150.0, cf=None),
    _p("oxygen_thermistor_voltage", "Oxygen sensor thermistor", "V", 1e-6, 0.0, 3.3, cf=None),
    *[_p(f"total_dissolved_gas_pressure{n}", "Gas tension", "hPa", 1e-5, 0.0, 5000.0, cf=None) for n in ("", "_2")],
    *[
        _p(f"temperature_of_gas_tension_sensor{n}", "Gas sensor temperature", "degC", 1e-5, -40.0, 85.0, cf=None)
        for n in ("", "_2")
    ],
    _p("temperature_of_conductivity_cell", "Conductivity cell temperature", "degC", 1e-4, -5.0, 60.0, cf=None),
    _p("period_of_pressure_signal", "Pressure signal period", "us", 1e-6, 0.0, 1000.0, cf=None),
    _p("period_of_temperature_signal", "Temperature signal period", "us", 1e-6, 0.0, 1000.0, cf=None),
    # Water level.
    _p("water_surface_height_above_reference_datum", "Water level", "m", 1e-3, -100.0, 100.0),
    _p("distance_from_sensor_to_water_surface", "Distance to water", "m", 1e-3, 0.0, 150.0, cf=None),
    _p("standard_deviation_of_water_level", "Water level scatter", "m", 1e-3, 0.0, 100.0, cf=None),
    _p("standard_deviation_of_sea_water_pressure", "Pressure scatter", "dbar", 1e-3, 0.0, 1000.0, cf=None),
    # Currents. Beams are positive toward the transducer in PD0, away from it in
    # Nortek's formats.
    _p("eastward_sea_water_velocity", "East velocity", "m s-1", 1e-3, -32.0, 32.0),
    _p("northward_sea_water_velocity", "North velocity", "m s-1", 1e-3, -32.0, 32.0),
    _p("upward_sea_water_velocity", "Up velocity", "m s-1", 1e-3, -32.0, 32.0),
    _p("sea_water_speed", "Current speed", "m s-1", 1e-3, 0.0, 32.0),
    _p("sea_water_velocity_to_direction", "Current direction, toward", "degree", 0.1, 0.0, 360.0),
    _p("sea_water_x_velocity", "X velocity", "m s-1", 1e-3, -32.0, 32.0),
    _p("sea_water_y_velocity", "Y velocity", "m s-1", 1e-3, -32.0, 32.0),
    _p("sea_water_z_velocity", "Z velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("starboard_sea_water_velocity", "Starboard velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("forward_sea_water_velocity", "Forward velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p(
        f"indicative_error_{_ADCP}_profiler_in_sea_water",
        "Error velocity",
        "m s-1",
        1e-3,
        -32.0,
        32.0,
    ),
    *_beams(
        _p("radial_sea_water_velocity_toward_instrument", "Velocity", "m s-1", 1e-3, -32.0, 32.0),
    ),
    *_beams(
        _p("radial_sea_water_velocity_away_from_instrument", "Velocity", "m s-1", 1e-3, -32.0, 32.0),
    ),
    *_beams(
        _p(
            f"beam_consistency_indicator_{_ADCP}_profiler_in_sea_water",
            "Correlation",
            "1",
            1,
            0,
            255,
            integer=True,
        ),
    ),
    *_beams(
        _p(f"signal_intensity_{_ADCP}_sensor_in_sea_water", "Echo intensity", "1", 1, 0, 255, integer=True),
    ),
    *_beams(
        _p(
            "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water",
            "Percent good",
            "percent",
            1,
            0,
            100,
            integer=True,
        ),
    ),
    # What an ADCP's percent good means once it has combined its beams (instrument, ship and earth coordinates).
    _p("percent_of_three_beam_solutions", "Three-beam solutions", "percent", 1, 0, 100, cf=None, integer=True),
    _p("percent_of_rejected_transformations", "Rejected transformations", "percent", 1, 0, 100, cf=None, integer=True),
    _p("percent_of_pings_with_bad_beams", "More than one beam bad", "percent", 1, 0, 100, cf=None, integer=True),
    _p("percent_of_four_beam_solutions", "Four-beam solutions", "percent", 1, 0, 100, cf=None, integer=True),
    # Bottom track: the range to and the motion of the bottom as seen by the instrument.
    *_beams(_p("bottom_track_range", "Range to bottom", "m", 0.01, 0.0, 12000.0, cf=None), 4),
    *_beams(_p("bottom_track_velocity", "Bottom track velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None), 4),
    _p("bottom_track_eastward_velocity", "Bottom track east velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_northward_velocity", "Bottom track north velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_upward_velocity", "Bottom track up velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_starboard_velocity", "Bottom track starboard velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_forward_velocity", "Bottom track forward velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_x_velocity", "Bottom track X velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_y_velocity", "Bottom track Y velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_z_velocity", "Bottom track Z velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_error_velocity", "Bottom track error velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    *_beams(_p("bottom_track_correlation", "Bottom track correlation", "1", 1, 0, 255, cf=None, integer=True), 4),
    *_beams(
        _p(
            "bottom_track_echo_intensity",
            "Bottom track echo intensity",
            "1",
            1,
            0,
            255,
            cf=None,
            integer=True,
        ),
        4,
    ),
    *_beams(
        _p(
            "bottom_track_percent_good",
            "Bottom track percent good",
            "percent",
            1,
            0,
            100,
            cf=None,
            integer=True,
        ),
        4,
    ),
    _p(
        "bottom_track_percent_of_three_beam_solutions",
        "Bottom track three-beam solutions",
        "percent",
        1,
        0,
        100,
        cf=None,
        integer=True,
    ),
    _p(
        "bottom_track_percent_of_rejected_transformations",
        "Bottom track rejected transformations",
        "percent",
        1,
        0,
        100,
        cf=None,
        integer=True,
    ),
    _p(
        "bottom_track_percent_of_pings_with_bad_beams",
        "Bottom track more than one beam bad",
        "percent",
        1,
        0,
        100,
        cf=None,
        integer=True,
    ),
    _p(
        "bottom_track_percent_of_four_beam_solutions",
        "Bottom track four-beam solutions",
        "percent",
        1,
        0,
        100,
        cf=None,
        integer=True,
    ),
    _p("ensemble_number", "Ensemble", "1", 1, 0, 2**32, cf=None, integer=True),
    _p("built_in_test_result", "Built-in test", "1", 1, 0, 65535, cf=None, integer=True),
    # More of ADCPs, DVLs and Doppler current meters.
    _p(
        "upward_sea_water_velocity_2", "Up velocity, second", "m s-1", 1e-3, -32.0, 32.0, cf="upward_sea_water_velocity"
    ),
    _p("sea_water_z_velocity_2", "Z velocity, second", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    *[_p(f"sea_water_velocity_component_{n}", f"Velocity {n}", "m s-1", 1e-3, -32.0, 32.0, cf=None) for n in (1, 2, 3)],
    _p("diagnostics_records", "Diagnostics records to come", "1", 1, 0, 65535, cf=None, integer=True),
    _p("diagnostics_cell", "Diagnostics cell", "1", 1, 0, 65535, cf=None, integer=True),
    *_beams(_p("diagnostics_distance", "Diagnostics distance", "1", 1, 0, 65535, cf=None, integer=True), 4),
    _p("near_surface_sea_water_speed", "Speed near surface", "m s-1", 1e-3, 0.0, 46.0, cf="sea_water_speed"),
    _p(
        "near_surface_sea_water_velocity_to_direction",
        "Direction near surface",
        "degree",
        0.01,
        0.0,
        360.0,
        cf="sea_water_velocity_to_direction",
    ),
    *_beams(_p("signal_amplitude_level", "Amplitude", "dB", 0.1, 0.0, 255.0, cf=None)),
    _p("mean_signal_amplitude", "Amplitude, mean of beams", "1", 1, 0, 255, cf=None, integer=True),
    _p("mean_beam_correlation", "Correlation, mean of beams", "percent", 1, 0, 100, cf=None, integer=True),
    _p(
        "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water",
        "Percent good",
        "percent",
        1,
        0,
        100,
        integer=True,
    ),
    _p("nominal_correlation", "Nominal correlation", "percent", 1, 0, 100, cf=None, integer=True),
    _p("ambiguity_velocity", "Ambiguity velocity", "m s-1", 1e-3, 0.0, 100.0, cf=None),
    _p("transmit_energy", "Transmit energy", "1", 1, 0, 65535, cf=None, integer=True),
    _p("power_level", "Power level", "dB", 1, -128, 127, cf=None, integer=True),
    *_beams(_p("noise_amplitude", "Noise amplitude", "1", 1, 0, 255, cf=None, integer=True), 4),
    *_beams(_p("noise_correlation", "Noise correlation", "percent", 1, 0, 255, cf=None, integer=True), 3),
    *_beams(_p("processing_magnitude", "Processing magnitude", "1", 1, 0, 65535, cf=None, integer=True), 4),
    _p("bottom_track_upward_velocity_2", "Bottom track up velocity, second", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    _p("bottom_track_z_velocity_2", "Bottom track Z velocity, second", "m s-1", 1e-3, -32.0, 32.0, cf=None),
    *_beams(_p("bottom_track_figure_of_merit", "Bottom track merit", "1", 1, 0, 65535, cf=None, integer=True), 4),
    *[
        _p(f"{track}_velocity_uncertainty{of}", f"{label} velocity uncertainty", "m s-1", 1e-4, 0.0, 200.0, cf=None)
        for track, label in (("bottom_track", "Bottom track"), ("water_track", "Water track"))
        for of in ("", "_beam_1", "_beam_2", "_beam_3", "_beam_4", "_x", "_y", "_z", "_z_2")
    ],
    *_beams(_p("water_track_range", "Range to water layer", "m", 0.01, 0.0, 12000.0, cf=None), 4),
    *_beams(_p("water_track_velocity", "Water track velocity", "m s-1", 1e-3, -32.0, 32.0, cf=None), 4),
    *[
        _p(
            f"water_track_{axis}_velocity{n}",
            f"Water track {axis.upper()} velocity",
            "m s-1",
            1e-3,
            -32.0,
            32.0,
            cf=None,
        )
        for axis, n in (("x", ""), ("y", ""), ("z", ""), ("z", "_2"))
    ],
    *[
        _p(f"{track}_{name}", f"{label} {words}", unit, step, 0.0, high, cf=None)
        for track, label in (("bottom_track", "Bottom track"), ("water_track", "Water track"))
        for name, words, unit, step, high in (
            ("speed", "speed", "m s-1", 1e-3, 46.0),
            ("to_direction", "direction", "degree", 0.1, 360.0),
            ("range", "range", "m", 0.01, 12000.0),
        )
    ],
    *[
        _p(f"altimeter_{name}", f"Altimeter {words}", unit, step, low, high, cf=None)
        for name, words, unit, step, low, high in (
            ("distance", "distance", "m", 1e-3, 0.0, 12000.0),
            ("distance_leading_edge", "distance, leading edge", "m", 1e-6, 0.0, 12000.0),
            ("quality_leading_edge", "quality, leading edge", "dB", 0.01, 0.0, 655.35),
            ("distance_ast", "distance, surface tracking", "m", 1e-6, 0.0, 12000.0),
            ("distance_ast_2", "distance, surface tracking, second", "m", 1e-3, 0.0, 12000.0),
            ("quality_ast", "quality, surface tracking", "dB", 0.01, 0.0, 655.35),
            ("time_offset_ast", "time from velocity ping", "s", 1e-4, -4.0, 4.0),
            ("pressure", "pressure at its ping", "dbar", 1e-6, -20.0, 12000.0),
            ("sample_spacing", "spacing of samples", "m", 1e-4, 0.0, 10.0),
        )
    ],
    _p("altimeter_quality", "Altimeter quality", "1", 1, 0, 65535, cf=None, integer=True),
    _p("altimeter_status", "Altimeter status", "1", 1, 0, 65535, cf=None, integer=True),
    _p("altimeter_sample_count", "Altimeter samples", "1", 1, 0, 2**32, cf=None, integer=True),
    _p("altimeter_signal", "Altimeter signal", "1", 1, -32768, 32767, cf=None, integer=True),
    _p("echosounder_signal_level", "Echo level", "dB", 0.01, -330.0, 330.0, cf=None),
    _p("raw_sample_count", "Raw samples", "1", 1, 0, 2**32, cf=None, integer=True),
    _p("raw_sample_start", "First raw sample", "1", 1, 0, 2**32, cf=None, integer=True),
    _p("acoustic_frequency", "Acoustic frequency", "Hz", 1.0, 0.0, 1e8, cf=None),
    *[
        _p(f"magnetometer_{axis}", f"Magnetometer {axis.upper()}", "uT", 0.1, -4000.0, 4000.0, cf=None)
        for axis in "xyz"
    ],
    *[
        _p(f"accelerometer_{axis}", f"Acceleration {axis.upper()}", "m s-2", 1e-4, -400.0, 400.0, cf=None)
        for axis in "xyz"
    ],
    *[
        _p(f"gyroscope_{axis}", f"Rotation about {axis.upper()}", "degree s-1", 1e-5, -1e5, 1e5, cf=None)
        for axis in "xyz"
    ],
    *[
        _p(f"rotation_matrix_{row}{column}", f"Rotation matrix {row},{column}", "1", 1e-6, -1.01, 1.01, cf=None)
        for row in (1, 2, 3)
        for column in (1, 2, 3)
    ],
    *[_p(f"quaternion_{part}", f"Quaternion {part.upper()}", "1", 1e-6, -1.01, 1.01, cf=None) for part in "wxyz"],
    *[
        _p(f"standard_deviation_of_{name}", f"{label} scatter", "degree", 0.01, 0.0, 360.0, cf=None)
        for name, label in (("heading", "Heading"), ("pitch", "Pitch"), ("roll", "Roll"))
    ],
    # More of PD0 and of DVLs.
    *[_p(f"adc_channel_{n}", f"ADC channel {n}", "1", 1, 0, 255, cf=None, integer=True) for n in range(8)],
    *_beams(_p("measurement_status", "Status", "1", 1, 0, 255, cf=None, integer=True)),
    *_beams(_p("bottom_track_signal_strength", "Bottom track RSSI", "1", 1, 0, 255, cf=None, integer=True), 4),
    _p("vertical_beam_range", "Vertical beam range", "m", 1e-3, 0.0, 12000.0, cf=None),
    _p("vertical_beam_echo_intensity", "Vertical beam echo", "1", 1, 0, 255, cf=None, integer=True),
    _p("vertical_beam_signal_strength", "Vertical beam RSSI", "1", 1, 0, 255, cf=None, integer=True),
    _p("vertical_beam_status", "Vertical beam status", "1", 1, 0, 255, cf=None, integer=True),
    _p("device_fault_count", "Faults", "1", 1, 0, 255, cf=None, integer=True),
    _p("device_fault_code", "First fault", "1", 1, 0, 65535, cf=None, integer=True),
    *[
        replace(p, name=f"{p.name}_navigation", label=f"{p.label}, by navigation", standard_name=p.name)
        for p in (
            _p("platform_orientation", "Heading", "degree", 0.01, 0.0, 360.0),
            _p("platform_pitch_fore_up", "Pitch", "degree", 0.01, -180.0, 180.0),
            _p("platform_roll_starboard_down", "Roll", "degree", 0.01, -180.0, 180.0),
        )
    ],
    _p("latitude_of_first_fix", "Latitude, first fix", "degree_north", 1e-7, -90.0, 90.0, cf="latitude"),
    _p("longitude_of_first_fix", "Longitude, first fix", "degree_east", 1e-7, -180.0, 360.0, cf="longitude"),
    _p("platform_speed_made_good", "Speed made good", "m s-1", 1e-3, 0.0, 60.0, cf="platform_speed_wrt_ground"),
    _p("platform_course_made_good", "Course made good", "degree", 0.01, 0.0, 360.0, cf="platform_course"),
    _p("clock_offset", "Clock less UTC", "s", 1e-3, -(2.0**31), 2.0**31, cf=None),
    *[
        _p(f"{track}_distance_{way}", f"{label} distance {way}", "m", 0.01, -1e8, 1e8, cf=None)
        for track, label in (("bottom_track", "Bottom track"), ("water_track", "Water track"))
        for way in ("east", "north", "up", "error")
    ],
    *[
        _p(f"{track}_time_since_good", f"{label} last good", "s", 0.01, 0.0, 1e6, cf=None)
        for track, label in (("bottom_track", "Bottom track"), ("water_track", "Water track"))
    ],
    *[
        _p(f"{track}_status", f"{label} status", "1", 1, 0, 255, cf=None, integer=True)
        for track, label in (("bottom_track", "Bottom track"), ("water_track", "Water track"))
    ],
    *[
        _p(f"dvl_{track}_{axis}_velocity", f"Velocity over {words}, {axis}", "m s-1", 1e-3, -32.0, 32.0, cf=None)
        for track, words in (("bottom_track", "bottom"), ("water_track", "water"))
        for axis in (
            *("beam_1", "beam_2", "beam_3", "beam_4", "x", "y", "z", "error"),
            *("starboard", "forward", "normal", "eastward", "northward", "upward"),
        )
    ],
    _p("water_track_layer_start", "Water layer from", "m", 0.1, 0.0, 12000.0, cf=None),
    _p("water_track_layer_end", "Water layer to", "m", 0.1, 0.0, 12000.0, cf=None),
    _p("leak_sensor_a", "Leak sensor A", "1", 1, 0, 65535, cf=None, integer=True),
    _p("leak_sensor_b", "Leak sensor B", "1", 1, 0, 65535, cf=None, integer=True),
    _p("transmit_voltage", "Transmit voltage", "V", 1e-3, 0.0, 1000.0, cf=None),
    _p("transmit_current", "Transmit current", "A", 1e-3, 0.0, 1000.0, cf=None),
    _p("transducer_impedance", "Transducer impedance", "ohm", 1e-3, 0.0, 1e5, cf=None),
    # Waves. Spectra are profiles over frequency.
    _p("sea_surface_wave_significant_height", "Significant wave height", "m", 1e-2, 0.0, 50.0),
    _p(
        "sea_surface_wave_mean_height_of_highest_third",
        "Mean height of highest third",
        "m",
        1e-2,
        0.0,
        50.0,
        cf="sea_surface_wave_significant_height",
    ),
    _p("sea_surface_wave_mean_height_of_highest_tenth", "Mean height of highest tenth", "m", 1e-2, 0.0, 60.0),
    _p("sea_surface_wave_maximum_height", "Highest wave", "m", 1e-2, 0.0, 80.0),
    _p(
        "sea_surface_wave_mean_period_from_variance_spectral_density_second_frequency_moment",
        "Mean wave period Tm02",
        "s",
        1e-2,
        0.0,
        100.0,
    ),
    _p("sea_surface_wave_period_at_variance_spectral_density_maximum", "Peak wave period", "s", 1e-2, 0.0, 100.0),
    _p("sea_surface_wave_zero_upcrossing_period", "Zero-crossing wave period", "s", 1e-2, 0.0, 100.0),
    _p(
        "sea_surface_wave_from_direction_at_variance_spectral_density_maximum",
        "Peak wave direction",
        "degree",
        1e-2,
        0.0,
        360.0,
    ),
    _p(
        "sea_surface_wave_directional_spread_at_variance_spectral_density_maximum",
        "Spread at wave peak",
        "degree",
        1e-2,
        0.0,
        360.0,
    ),
    _p("sea_surface_wave_from_direction", "Wave direction", "degree", 1e-2, 0.0, 360.0),
    _p("sea_surface_wave_directional_spread", "Wave directional spread", "degree", 1e-4, 0.0, 360.0),
    _p("sea_surface_wave_variance_spectral_density", "Wave energy density", "m2 s", 1e-7, 0.0, 1e4),
    *[
        _p(f"sea_surface_wave_fourier_coefficient_{name}", f"Wave {name.upper()}", "1", 1e-4, -2.0, 2.0, cf=None)
        for name in ("a1", "b1", "a2", "b2")
    ],
    _p("sea_surface_wave_unidirectivity_index", "Unidirectivity index", "1", 1e-2, 0.0, 1.0, cf=None),
    _p("sea_surface_wave_band_low_frequency", "Wave band from", "Hz", 1e-2, 0.0, 10.0, cf=None),
    _p("sea_surface_wave_band_high_frequency", "Wave band to", "Hz", 1e-2, 0.0, 10.0, cf=None),
    _p("wave_spectrum_basis", "Wave spectrum from", "1", 1, 0, 3, cf=None, integer=True),
    _p("wave_processing_method", "Wave processing", "1", 1, 0, 4, cf=None, integer=True),
    _p("wave_surface_no_detects", "Surface not detected", "1", 1, 0, 65535, cf=None, integer=True),
    _p("wave_surface_bad_detects", "Surface badly detected", "1", 1, 0, 65535, cf=None, integer=True),
    # Attitude and motion of the platform.
    _p("platform_orientation", "Heading", "degree", 0.01, 0.0, 360.0),
    _p("platform_pitch_fore_up", "Pitch", "degree", 0.01, -180.0, 180.0),
    _p("platform_roll_starboard_down", "Roll", "degree", 0.01, -180.0, 180.0),
    _p("platform_heave_up", "Heave", "m", 0.01, -50.0, 50.0),
    _p("platform_course", "Course over ground", "degree", 0.1, 0.0, 360.0),
    _p("platform_speed_wrt_ground", "Speed over ground", "m s-1", 1e-3, 0.0, 60.0),
    _p("platform_speed_wrt_sea_water", "Speed through water", "m s-1", 1e-3, -60.0, 60.0),
    _p("platform_heave_down", "Heave, positive down", "m", 0.01, -50.0, 50.0),
    _p("platform_heave_rate_down", "Heave rate, positive down", "m s-1", 0.01, -50.0, 50.0),
    _p("platform_roll_rate_starboard_down", "Roll rate", "degree s-1", 0.01, -360.0, 360.0),
    _p("platform_pitch_rate_fore_up", "Pitch rate", "degree s-1", 0.01, -360.0, 360.0),
    _p("platform_yaw_rate_fore_starboard", "Rate of turn", "degree s-1", 1e-5, -360.0, 360.0),
    _p("platform_orientation_magnetic", "Magnetic heading", "degree", 0.01, 0.0, 360.0, cf=None),
    _p("magnetic_deviation", "Compass deviation", "degree", 0.01, -180.0, 180.0, cf=None),
    _p("uncertainty_of_platform_orientation", "Heading uncertainty", "degree", 1e-3, 0.0, 360.0, cf=None),
    _p("uncertainty_of_platform_pitch", "Pitch uncertainty", "degree", 1e-3, 0.0, 360.0, cf=None),
    _p("uncertainty_of_platform_roll", "Roll uncertainty", "degree", 1e-3, 0.0, 360.0, cf=None),
    _p("gyro_calibration", "Gyro calibration", "degree", 0.01, -360.0, 360.0, cf=None),
    _p("gyro_offset", "Gyro offset", "degree", 0.01, -360.0, 360.0, cf=None),
    _p("horizontal_position_quality", "Position quality", "1", 1, 0, 9, cf=None, integer=True),
    _p("height_quality", "Height quality", "1", 1, 0, 9, cf=None, integer=True),
    _p("heading_quality", "Heading quality", "1", 1, 0, 9, cf=None, integer=True),
    _p("roll_and_pitch_quality", "Roll and pitch quality", "1", 1, 0, 9, cf=None, integer=True),
    _p("gnss_aiding_status", "GNSS aiding", "1", 1, 0, 99, cf=None, integer=True),
    _p("imu_status", "Motion sensor status", "1", 1, 0, 99, cf=None, integer=True),
    *[
        _p(f"platform_{way}_velocity_wrt_{medium}", f"{way.title()} velocity {by}", "m s-1", 1e-4, -60.0, 60.0, cf=None)
        for medium, by in (("sea_water", "through water"), ("ground", "over ground"))
        for way in ("forward", "starboard", "eastward", "northward")
    ],
    # Position. 1e-7 degree is about a centimetre.
    _p("latitude", "Latitude", "degree_north", 1e-7, -90.0, 90.0),
    _p("longitude", "Longitude", "degree_east", 1e-7, -180.0, 360.0),
    _p("altitude", "Antenna altitude", "m", 0.01, -1000.0, 20000.0),
    _p("geoid_height_above_reference_ellipsoid", "Geoid separation", "m", 0.01, -150.0, 150.0),
    _p("gnss_fix_quality", "Fix quality", "1", 1, 0, 9, cf=None, integer=True),
    _p("gnss_satellites_used", "Satellites used", "1", 1, 0, 255, cf=None, integer=True),
    _p("gnss_horizontal_dilution_of_precision", "HDOP", "1", 0.01, 0.0, 9999.0, cf=None),
    _p("magnetic_variation", "Magnetic variation", "degree", 0.01, -180.0, 180.0, cf=None),
    _p("sea_floor_depth_below_transducer", "Depth below transducer", "m", 0.01, 0.0, 12000.0, cf=None),
    _p("transducer_offset", "Transducer to waterline (+) or keel (-)", "m", 0.01, -50.0, 50.0, cf=None),
    _p("sea_floor_depth_below_sea_surface", "Water depth", "m", 0.01, 0.0, 12000.0),
    _p("sea_floor_depth_below_keel", "Depth below keel", "m", 0.01, 0.0, 12000.0, cf=None),
    # Weather.
    _p("air_temperature", "Air temperature", "degC", 0.01, -90.0, 60.0),
    _p("relative_humidity", "Relative humidity", "percent", 0.1, 0.0, 110.0),
    _p("air_pressure", "Air pressure", "hPa", 0.01, 500.0, 1100.0),
    _p("wind_speed", "Wind speed", "m s-1", 0.01, 0.0, 120.0),
    _p("wind_from_direction", "Wind direction", "degree", 0.1, 0.0, 360.0),
    _p("wind_speed_of_gust", "Gust", "m s-1", 0.01, 0.0, 150.0),
    _p("dew_point_temperature", "Dew point", "degC", 0.1, -100.0, 60.0),
    _p("relative_wind_speed", "Relative wind speed", "m s-1", 0.01, 0.0, 150.0, cf=None),
    _p("relative_wind_from_direction", "Relative wind direction", "degree", 0.1, 0.0, 360.0, cf=None),
    _p("wind_from_direction_relative_to_bow", "Wind direction off the bow", "degree", 0.1, 0.0, 360.0, cf=None),
    _p("wind_speed_minimum", "Wind speed, lowest", "m s-1", 0.01, 0.0, 150.0, cf=None),
    _p("wind_from_direction_minimum", "Wind direction, leftmost", "degree", 0.1, 0.0, 360.0, cf=None),
    _p("wind_from_direction_maximum", "Wind direction, rightmost", "degree", 0.1, 0.0, 360.0, cf=None),
    _p("wind_chill_of_air_temperature", "Wind chill", "degC", 0.1, -150.0, 60.0),
    _p("heat_index_of_air_temperature", "Heat index", "degC", 0.1, -90.0, 120.0),
    _p("thickness_of_rainfall_amount", "Rain", "mm", 0.01, 0.0, 10000.0),
    _p("duration_of_rainfall", "Rain duration", "s", 1, 0.0, 1e9, cf=None),
    _p("rainfall_rate_maximum", "Rain rate, highest", "mm h-1", 0.01, 0.0, 1000.0, cf=None),
    _p("hail_amount", "Hail", "cm-2", 0.1, 0.0, 10000.0, cf=None),
    _p("duration_of_hail", "Hail duration", "s", 1, 0.0, 1e9, cf=None),
    _p("hail_rate", "Hail rate", "cm-2 h-1", 0.1, 0.0, 10000.0, cf=None),
    _p("hail_rate_maximum", "Hail rate, highest", "cm-2 h-1", 0.1, 0.0, 10000.0, cf=None),
    _p("rainfall_rate", "Rain rate", "mm h-1", 0.01, 0.0, 1000.0),
    _p("downwelling_photosynthetic_photon_flux_in_air", "PAR", "umol m-2 s-1", 0.01, -10.0, 5000.0, cf=None),
    _p("surface_downwelling_longwave_flux_in_air", "Longwave radiation", "W m-2", 0.1, -100.0, 800.0),
    _p("surface_downwelling_shortwave_flux_in_air", "Shortwave radiation", "W m-2", 0.1, -50.0, 2000.0),
    _p("eastward_wind", "Wind to east", "m s-1", 0.01, -120.0, 120.0),
    _p("northward_wind", "Wind to north", "m s-1", 0.01, -120.0, 120.0),
    # The instrument itself.
    *[_p(f"external_voltage_{n}", f"External voltage {n}", "V", 1e-4, -0.1, 5.5, cf=None) for n in range(8)],
    *[
        _p(f"auxiliary_counts_{n}", f"Auxiliary counts {n}", "1", 1, 0, 2**32, cf=None, integer=True)
        for n in range(1, 7)
    ],
    _p("supply_voltage", "Supply", "V", 1e-3, 0.0, 1000.0, cf=None),
    _p("heating_voltage", "Heating", "V", 1e-3, 0.0, 1000.0, cf=None),
    _p("reference_voltage", "Reference voltage", "V", 1e-3, 0.0, 1000.0, cf=None),
    _p("heating_temperature", "Heater temperature", "degC", 0.1, -90.0, 200.0, cf=None),
    _p("battery_voltage", "Battery", "V", 1e-3, 0.0, 1000.0, cf=None),
    _p("supply_current", "Current drawn", "mA", 0.01, 0.0, 100000.0, cf=None),
    _p("sample_number", "Sample number", "1", 1, 0, 2**53, cf=None, integer=True),
    _p("clock_is_synchronized", "Clock follows a pulse per second", "1", 1, 0, 1, cf=None, integer=True),
    _p("surface_par_voltage", "Surface PAR sensor", "V", 1e-3, -0.1, 5.5, cf=None),
    _p("modulo_count", "Scan count modulo 256", "1", 1, 0, 255, cf=None, integer=True),
    _p("pump_on", "Pump on", "1", 1, 0, 1, cf=None, integer=True),
    _p("bottom_contact", "Bottom contact", "1", 1, 0, 1, cf=None, integer=True),
    _p("water_sampler_confirms", "Bottle fire confirmed", "1", 1, 0, 1, cf=None, integer=True),
    _p("modem_carrier_detected", "Modem carrier detected", "1", 1, 0, 1, cf=None, integer=True),
    _p("internal_relative_humidity", "Humidity in the housing", "percent", 0.1, -10.0, 125.0, cf=None),
    _p("internal_temperature", "Temperature in the housing", "degC", 0.1, -40.0, 85.0, cf=None),
    _p("reference_oscillator_frequency", "Reference oscillator", "Hz", 1e-3, 1e6, 1e8, cf=None),
    _p("reference_oscillator_error", "Reference oscillator's error", "1e-6", 1e-3, -1000.0, 1000.0, cf=None),
    _p("temperature_of_clock", "Clock temperature", "degC", 0.01, -60.0, 100.0, cf=None),
    _p("device_error", "Device error", "1", 1, 0, 2**32, cf=None, integer=True),
    _p("device_status_0", "Device status, first word", "1", 1, 0, 65535, cf=None, integer=True),
    _p("device_status", "Device status", "1", 1, 0, 2**32, cf=None, integer=True),
]

_SURFACE_LAYER = (
    *("eastward_sea_water_velocity", "northward_sea_water_velocity", "upward_sea_water_velocity"),
    *("sea_water_x_velocity", "sea_water_y_velocity", "sea_water_z_velocity"),
    *("starboard_sea_water_velocity", "forward_sea_water_velocity", f"indicative_error_{_ADCP}_profiler_in_sea_water"),
    *("percent_of_three_beam_solutions", "percent_of_rejected_transformations"),
    *("percent_of_pings_with_bad_beams", "percent_of_four_beam_solutions"),
    *(
        f"{name}_beam_{beam}"
        for name in (
            "radial_sea_water_velocity_toward_instrument",
            f"beam_consistency_indicator_{_ADCP}_profiler_in_sea_water",
            f"signal_intensity_{_ADCP}_sensor_in_sea_water",
            "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water",
            "measurement_status",
        )
        for beam in (1, 2, 3, 4)
    ),
)
# River ADCPs profile the water next to them with smaller cells of its own.
_ALL += [
    replace(p, name=f"surface_layer_{p.name}", label=f"{p.label}, surface layer")
    for p in list(_ALL)
    if p.name in _SURFACE_LAYER
]

PARAMETERS: dict[str, Parameter] = {p.name: p for p in _ALL}


def parameter(name: str) -> Parameter:
    """The parameter of that name; a name that nobody declared raises `KeyError` with the nearest known names."""
    try:
        return PARAMETERS[name]
    except KeyError:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(name, PARAMETERS, n=3)) or "see tidegate/vocabulary.py"
        raise KeyError(f"no parameter is called {name!r}; did you mean: {near}?") from None
