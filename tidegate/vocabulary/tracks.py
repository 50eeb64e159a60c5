"""What a Doppler instrument tells of the bottom, of a layer of water and of the surface that it follows."""

from tidegate.vocabulary.parameter import Parameter, beams, own, whole

_TRACKS = (("bottom_track", "Bottom track"), ("water_track", "Water track"))
_BEAMS = ("_beam_1", "_beam_2", "_beam_3", "_beam_4")

TRACKS: tuple[Parameter, ...] = (
    # The range to and the motion of the bottom (or of the water layer) as seen by the instrument.
    *[
        parameter
        for track, label in _TRACKS
        for parameter in (
            *beams(own(f"{track}_range", f"{label} range", "m", 0.01, 0.0, 12000.0), 4),
            *beams(own(f"{track}_velocity", f"{label} velocity", "m s-1", 1e-3, -32.0, 32.0), 4),
            own(f"{track}_x_velocity", f"{label} X velocity", "m s-1", 1e-3, -32.0, 32.0),
            own(f"{track}_y_velocity", f"{label} Y velocity", "m s-1", 1e-3, -32.0, 32.0),
            own(f"{track}_z_velocity", f"{label} Z velocity", "m s-1", 1e-3, -32.0, 32.0),
            own(f"{track}_z_velocity_2", f"{label} Z velocity, second", "m s-1", 1e-3, -32.0, 32.0),
            *[
                own(f"{track}_velocity_uncertainty{of}", label + words, "m s-1", 1e-4, 0.0, 200.0)
                for of, words in (
                    ("", " velocity uncertainty"),
                    *[(beam, f" velocity uncertainty,{beam.replace('_', ' ')}") for beam in _BEAMS],
                    *[(f"_{axis}", f" {axis.upper()} velocity uncertainty") for axis in "xyz"],
                    ("_z_2", " Z velocity uncertainty, second"),
                )
            ],
            own(f"{track}_speed", f"{label} speed", "m s-1", 1e-3, 0.0, 46.0),
            own(f"{track}_to_direction", f"{label} direction", "degree", 0.1, 0.0, 360.0),
            own(f"{track}_range", f"{label} range", "m", 0.01, 0.0, 12000.0),
            own(f"{track}_distance_east", f"{label} distance east", "m", 0.01, -1e8, 1e8),
            own(f"{track}_distance_north", f"{label} distance north", "m", 0.01, -1e8, 1e8),
            own(f"{track}_distance_up", f"{label} distance up", "m", 0.01, -1e8, 1e8),
            own(f"{track}_distance_error", f"{label} distance error", "m", 0.01, -1e8, 1e8),
            own(f"{track}_time_since_good", f"{label} last good", "s", 0.01, 0.0, 1e6),
            whole(f"{track}_status", f"{label} status", 0, 255),
        )
    ],
    own("bottom_track_eastward_velocity", "Bottom track east velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_northward_velocity", "Bottom track north velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_upward_velocity", "Bottom track up velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_upward_velocity_2", "Bottom track up velocity, second", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_starboard_velocity", "Bottom track starboard velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_forward_velocity", "Bottom track forward velocity", "m s-1", 1e-3, -32.0, 32.0),
    own("bottom_track_error_velocity", "Bottom track error velocity", "m s-1", 1e-3, -32.0, 32.0),
    *beams(whole("bottom_track_correlation", "Bottom track correlation", 0, 255), 4),
    *beams(whole("bottom_track_echo_intensity", "Bottom track echo intensity", 0, 255), 4),
    *beams(whole("bottom_track_signal_strength", "Bottom track RSSI", 0, 255), 4),
    *beams(whole("bottom_track_percent_good", "Bottom track percent good", 0, 100, "percent"), 4),
    *beams(whole("bottom_track_figure_of_merit", "Bottom track merit", 0, 65535), 4),
    *[
        whole(f"bottom_track_percent_of_{name}", f"Bottom track {words}", 0, 100, "percent")
        for name, words in (
            ("three_beam_solutions", "three-beam solutions"),
            ("rejected_transformations", "rejected transformations"),
            ("pings_with_bad_beams", "more than one beam bad"),
            ("four_beam_solutions", "four-beam solutions"),
        )
    ],
    own("water_track_layer_start", "Water layer from", "m", 0.1, 0.0, 12000.0),
    own("water_track_layer_end", "Water layer to", "m", 0.1, 0.0, 12000.0),
    # A Doppler velocity log gives the motion of its vessel over bottom and water: the opposite sign.
    *[
        own(f"dvl_{track}_{axis}_velocity", f"Velocity over {words}, {axis}", "m s-1", 1e-3, -32.0, 32.0)
        for track, words in (("bottom_track", "bottom"), ("water_track", "water"))
        for axis in (
            *("beam_1", "beam_2", "beam_3", "beam_4", "x", "y", "z", "error"),
            *("starboard", "forward", "normal", "eastward", "northward", "upward"),
        )
    ],
    # The surface (or the bottom) along the vertical beam.
    own("vertical_beam_range", "Vertical beam range", "m", 1e-3, 0.0, 12000.0),
    whole("vertical_beam_echo_intensity", "Vertical beam echo", 0, 255),
    whole("vertical_beam_signal_strength", "Vertical beam RSSI", 0, 255),
    whole("vertical_beam_status", "Vertical beam status", 0, 255),
    own("altimeter_distance", "Altimeter distance", "m", 1e-3, 0.0, 12000.0),
    own("altimeter_distance_leading_edge", "Altimeter distance, leading edge", "m", 1e-6, 0.0, 12000.0),
    own("altimeter_quality_leading_edge", "Altimeter quality, leading edge", "dB", 0.01, 0.0, 655.35),
    own("altimeter_distance_ast", "Altimeter distance, surface tracking", "m", 1e-6, 0.0, 12000.0),
    own("altimeter_distance_ast_2", "Altimeter distance, surface tracking, second", "m", 1e-3, 0.0, 12000.0),
    own("altimeter_quality_ast", "Altimeter quality, surface tracking", "dB", 0.01, 0.0, 655.35),
    own("altimeter_time_offset_ast", "Altimeter time from velocity ping", "s", 1e-4, -4.0, 4.0),
    own("altimeter_pressure", "Altimeter pressure at its ping", "dbar", 1e-6, -20.0, 12000.0),
    own("altimeter_sample_spacing", "Altimeter spacing of samples", "m", 1e-4, 0.0, 10.0),
    whole("altimeter_quality", "Altimeter quality", 0, 65535),
    whole("altimeter_status", "Altimeter status", 0, 65535),
    whole("altimeter_sample_count", "Altimeter samples", 0, 2**32),
    whole("altimeter_signal", "Altimeter signal", -32768, 32767),
)
