"""Currents and what tells how good they are, as Doppler profilers and current meters measure them."""

from dataclasses import replace

from tidegate.vocabulary.parameter import Parameter, beams, own, standard, whole

_ADCP = "from_multibeam_acoustic_doppler_velocity"
_CORRELATION = f"beam_consistency_indicator_{_ADCP}_profiler_in_sea_water"
_INTENSITY = f"signal_intensity_{_ADCP}_sensor_in_sea_water"
_GOOD = "proportion_of_acceptable_signal_returns_from_acoustic_instrument_in_sea_water"
_TO = "sea_water_velocity_to_direction"

# What a classic profiler gives of each cell.
_PROFILE: tuple[Parameter, ...] = (
    standard("eastward_sea_water_velocity", "East velocity", "m s-1", 1e-3, -32.0, 32.0),
    standard("northward_sea_water_velocity", "North velocity", "m s-1", 1e-3, -32.0, 32.0),
    standard("upward_sea_water_velocity", "Up velocity", "m s-1", 1e-3, -32.0, 32.0),
    standard("sea_water_x_velocity", "X velocity", "m s-1", 1e-3, -32.0, 32.0),
    standard("sea_water_y_velocity", "Y velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("sea_water_z_velocity", "Z velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("starboard_sea_water_velocity", "Starboard velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("forward_sea_water_velocity", "Forward velocity", "m s-1", 1e-3, -32.0, 32.0),
    standard(f"indicative_error_{_ADCP}_profiler_in_sea_water", "Error velocity", "m s-1", 1e-3, -32.0, 32.0),
    # Beams are positive toward the transducer in PD0, away from it in Nortek's formats.
    *beams(standard("radial_sea_water_velocity_toward_instrument", "Velocity toward", "m s-1", 1e-3, -32.0, 32.0)),
    *beams(whole(_CORRELATION, "Correlation", 0, 255, of=_CORRELATION)),
    *beams(whole(_INTENSITY, "Echo intensity", 0, 255, of=_INTENSITY)),
    *beams(whole(_GOOD, "Percent good", 0, 100, "percent", of=_GOOD)),
    # What an ADCP's percent good means once it has combined its beams (instrument, ship and earth coordinates).
    whole("percent_of_three_beam_solutions", "Three-beam solutions", 0, 100, "percent"),
    whole("percent_of_rejected_transformations", "Rejected transformations", 0, 100, "percent"),
    whole("percent_of_pings_with_bad_beams", "More than one beam bad", 0, 100, "percent"),
    whole("percent_of_four_beam_solutions", "Four-beam solutions", 0, 100, "percent"),
    *beams(whole("measurement_status", "Status", 0, 255)),
)

CURRENTS: tuple[Parameter, ...] = (
    *_PROFILE,
    # River ADCPs profile the water next to them with smaller cells of its own, with four beams.
    *[
        replace(p, name=f"surface_layer_{p.name}", label=f"{p.label}, surface layer")
        for p in _PROFILE
        if not p.name.endswith("_beam_5")
    ],
    *beams(standard("radial_sea_water_velocity_away_from_instrument", "Velocity away", "m s-1", 1e-3, -32.0, 32.0)),
    standard("sea_water_speed", "Current speed", "m s-1", 1e-3, 0.0, 32.0),
    standard(_TO, "Current direction, toward", "degree", 0.1, 0.0, 360.0),
    standard("near_surface_sea_water_speed", "Speed near surface", "m s-1", 1e-3, 0.0, 46.0, of="sea_water_speed"),
    standard(f"near_surface_{_TO}", "Direction near surface", "degree", 0.01, 0.0, 360.0, of=_TO),
    standard("upward_sea_water_velocity_2", "Up velocity, second", "m s-1", 1e-3, -32.0, 32.0, of=_PROFILE[2].name),
    own("sea_water_z_velocity_2", "Z velocity, second", "m s-1", 1e-3, -32.0, 32.0),
    *[own(f"sea_water_velocity_component_{n}", f"Velocity {n}", "m s-1", 1e-3, -32.0, 32.0) for n in (1, 2, 3)],
    *beams(own("signal_amplitude_level", "Amplitude", "dB", 0.1, 0.0, 255.0)),
    whole("mean_signal_amplitude", "Amplitude, mean of beams", 0, 255),
    whole("mean_beam_correlation", "Correlation, mean of beams", 0, 100, "percent"),
    whole(_GOOD, "Percent good", 0, 100, "percent", of=_GOOD),
    whole("nominal_correlation", "Nominal correlation", 0, 100, "percent"),
    own("ambiguity_velocity", "Ambiguity velocity", "m s-1", 1e-3, 0.0, 100.0),
    *beams(whole("noise_amplitude", "Noise amplitude", 0, 255), 4),
    *beams(whole("noise_correlation", "Noise correlation", 0, 255, "percent"), 3),
    *beams(whole("processing_magnitude", "Processing magnitude", 0, 65535), 4),
    # Diagnostics, raw echoes and transmission.
    whole("diagnostics_records", "Diagnostics records to come", 0, 65535),
    whole("diagnostics_cell", "Diagnostics cell", 0, 65535),
    *beams(whole("diagnostics_distance", "Diagnostics distance", 0, 65535), 4),
    own("echosounder_signal_level", "Echo level", "dB", 0.01, -330.0, 330.0),
    whole("raw_sample_count", "Raw samples", 0, 2**32),
    whole("raw_sample_start", "First raw sample", 0, 2**32),
    own("acoustic_frequency", "Acoustic frequency", "Hz", 1.0, 0.0, 1e8),
    whole("transmit_energy", "Transmit energy", 0, 65535),
    whole("power_level", "Power level", -128, 127, "dB"),
    own("transmit_voltage", "Transmit voltage", "V", 1e-3, 0.0, 1000.0),
    own("transmit_current", "Transmit current", "A", 1e-3, 0.0, 1000.0),
    own("transducer_impedance", "Transducer impedance", "ohm", 1e-3, 0.0, 1e5),
)
