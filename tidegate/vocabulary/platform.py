"""The platform: its attitude and motion, where it is, and how much water is under it."""

from dataclasses import replace

from tidegate.vocabulary.parameter import Parameter, own, standard, whole

_HEADING = standard("platform_orientation", "Heading", "degree", 0.01, 0.0, 360.0)
_PITCH = standard("platform_pitch_fore_up", "Pitch", "degree", 0.01, -180.0, 180.0)
_ROLL = standard("platform_roll_starboard_down", "Roll", "degree", 0.01, -180.0, 180.0)
_SPEED, _COURSE = "platform_speed_wrt_ground", "platform_course"

PLATFORM: tuple[Parameter, ...] = (
    *(_HEADING, _PITCH, _ROLL),
    # A ship's own, where an instrument has sensors too.
    *[
        replace(p, name=f"{p.name}_navigation", label=f"{p.label}, by navigation", standard_name=p.name)
        for p in (_HEADING, _PITCH, _ROLL)
    ],
    own("standard_deviation_of_heading", "Heading scatter", "degree", 0.01, 0.0, 360.0),
    own("standard_deviation_of_pitch", "Pitch scatter", "degree", 0.01, 0.0, 360.0),
    own("standard_deviation_of_roll", "Roll scatter", "degree", 0.01, 0.0, 360.0),
    own("uncertainty_of_platform_orientation", "Heading uncertainty", "degree", 1e-3, 0.0, 360.0),
    own("uncertainty_of_platform_pitch", "Pitch uncertainty", "degree", 1e-3, 0.0, 360.0),
    own("uncertainty_of_platform_roll", "Roll uncertainty", "degree", 1e-3, 0.0, 360.0),
    own("platform_orientation_magnetic", "Magnetic heading", "degree", 0.01, 0.0, 360.0),
    own("magnetic_deviation", "Compass deviation", "degree", 0.01, -180.0, 180.0),
    own("magnetic_variation", "Magnetic variation", "degree", 0.01, -180.0, 180.0),
    # CF has a name for each sign of heave; each instrument keeps its own.
    standard("platform_heave_up", "Heave", "m", 0.01, -50.0, 50.0),
    standard("platform_heave_down", "Heave, positive down", "m", 0.01, -50.0, 50.0),
    standard("platform_heave_rate_down", "Heave rate, positive down", "m s-1", 0.01, -50.0, 50.0),
    standard("platform_roll_rate_starboard_down", "Roll rate", "degree s-1", 0.01, -360.0, 360.0),
    standard("platform_pitch_rate_fore_up", "Pitch rate", "degree s-1", 0.01, -360.0, 360.0),
    standard("platform_yaw_rate_fore_starboard", "Rate of turn", "degree s-1", 1e-5, -360.0, 360.0),
    standard(_COURSE, "Course over ground", "degree", 0.1, 0.0, 360.0),
    standard(_SPEED, "Speed over ground", "m s-1", 1e-3, 0.0, 60.0),
    standard("platform_speed_wrt_sea_water", "Speed through water", "m s-1", 1e-3, -60.0, 60.0),
    standard("platform_speed_made_good", "Speed made good", "m s-1", 1e-3, 0.0, 60.0, of=_SPEED),
    standard("platform_course_made_good", "Course made good", "degree", 0.01, 0.0, 360.0, of=_COURSE),
    *[
        own(f"platform_{way}_velocity_wrt_{medium}", f"{way.title()} velocity {by}", "m s-1", 1e-4, -60.0, 60.0)
        for medium, by in (("sea_water", "through water"), ("ground", "over ground"))
        for way in ("forward", "starboard", "eastward", "northward")
    ],
    # Inertial sensors.
    *[own(f"magnetometer_{axis}", f"Magnetometer {axis.upper()}", "uT", 0.1, -4000.0, 4000.0) for axis in "xyz"],
    *[own(f"accelerometer_{axis}", f"Acceleration {axis.upper()}", "m s-2", 1e-4, -400.0, 400.0) for axis in "xyz"],
    *[own(f"gyroscope_{axis}", f"Rotation about {axis.upper()}", "degree s-1", 1e-5, -1e5, 1e5) for axis in "xyz"],
    *[
        own(f"rotation_matrix_{row}{column}", f"Rotation matrix {row},{column}", "1", 1e-6, -1.01, 1.01)
        for row in (1, 2, 3)
        for column in (1, 2, 3)
    ],
    *[own(f"quaternion_{part}", f"Quaternion {part.upper()}", "1", 1e-6, -1.01, 1.01) for part in "wxyz"],
    own("gyro_calibration", "Gyro calibration", "degree", 0.01, -360.0, 360.0),
    own("gyro_offset", "Gyro offset", "degree", 0.01, -360.0, 360.0),
    whole("heading_quality", "Heading quality", 0, 9),
    whole("roll_and_pitch_quality", "Roll and pitch quality", 0, 9),
    whole("imu_status", "Motion sensor status", 0, 99),
    # Position. 1e-7 degree is about a centimetre.
    standard("latitude", "Latitude", "degree_north", 1e-7, -90.0, 90.0),
    standard("longitude", "Longitude", "degree_east", 1e-7, -180.0, 360.0),
    standard("latitude_of_first_fix", "Latitude, first fix", "degree_north", 1e-7, -90.0, 90.0, of="latitude"),
    standard("longitude_of_first_fix", "Longitude, first fix", "degree_east", 1e-7, -180.0, 360.0, of="longitude"),
    standard("altitude", "Antenna altitude", "m", 0.01, -1000.0, 20000.0),
    standard("geoid_height_above_reference_ellipsoid", "Geoid separation", "m", 0.01, -150.0, 150.0),
    whole("gnss_fix_quality", "Fix quality", 0, 9),
    whole("gnss_satellites_used", "Satellites used", 0, 255),
    own("gnss_horizontal_dilution_of_precision", "HDOP", "1", 0.01, 0.0, 9999.0),
    whole("gnss_aiding_status", "GNSS aiding", 0, 99),
    whole("horizontal_position_quality", "Position quality", 0, 9),
    whole("height_quality", "Height quality", 0, 9),
    # Soundings.
    standard("sea_floor_depth_below_sea_surface", "Water depth", "m", 0.01, 0.0, 12000.0),
    own("sea_floor_depth_below_transducer", "Depth below transducer", "m", 0.01, 0.0, 12000.0),
    own("sea_floor_depth_below_keel", "Depth below keel", "m", 0.01, 0.0, 12000.0),
    own("transducer_offset", "Transducer to waterline (+) or keel (-)", "m", 0.01, -50.0, 50.0),
)
