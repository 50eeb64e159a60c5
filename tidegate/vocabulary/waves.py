"""Waves: bursts of pressure, heights, periods, directions and spectra. Spectra are profiles over frequency."""

from tidegate.vocabulary.parameter import Parameter, own, standard, whole

_W = "sea_surface_wave"
_HEIGHT = f"{_W}_significant_height"
_AT_PEAK = "at_variance_spectral_density_maximum"
_BY_MOMENT = "from_variance_spectral_density_second_frequency_moment"
_BURST = "sea_water_pressure_in_wave_burst"

WAVES: tuple[Parameter, ...] = (
    standard(_HEIGHT, "Significant wave height", "m", 1e-2, 0.0, 50.0),
    standard(
        f"{_HEIGHT}_from_standard_deviation", "Significant wave height, from scatter", "m", 1e-2, 0.0, 50.0, of=_HEIGHT
    ),
    standard(f"{_W}_mean_height_of_highest_third", "Mean height of highest third", "m", 1e-2, 0.0, 50.0, of=_HEIGHT),
    standard(f"{_W}_mean_height_of_highest_tenth", "Mean height of highest tenth", "m", 1e-2, 0.0, 60.0),
    standard(f"{_W}_maximum_height", "Highest wave", "m", 1e-2, 0.0, 80.0),
    standard(f"{_W}_mean_period_{_BY_MOMENT}", "Mean wave period Tm02", "s", 1e-2, 0.0, 100.0),
    standard(f"{_W}_period_{_AT_PEAK}", "Peak wave period", "s", 1e-2, 0.0, 100.0),
    standard(f"{_W}_mean_period", "Mean wave period, zero crossings", "s", 1e-2, 0.0, 100.0),
    standard(f"{_W}_from_direction_{_AT_PEAK}", "Peak wave direction", "degree", 1e-2, 0.0, 360.0),
    standard(f"{_W}_directional_spread_{_AT_PEAK}", "Spread at wave peak", "degree", 1e-2, 0.0, 360.0),
    standard(f"{_W}_from_direction", "Wave direction", "degree", 1e-2, 0.0, 360.0),
    standard(f"{_W}_directional_spread", "Wave directional spread", "degree", 1e-4, 0.0, 360.0),
    standard(f"{_W}_variance_spectral_density", "Wave energy density", "m2 s", 1e-7, 0.0, 1e4),
    *[
        own(f"{_W}_fourier_coefficient_{name}", f"Wave {name.upper()}", "1", 1e-4, -2.0, 2.0)
        for name in ("a1", "b1", "a2", "b2")
    ],
    own(f"{_W}_unidirectivity_index", "Unidirectivity index", "1", 1e-2, 0.0, 1.0),
    own(f"{_W}_band_low_frequency", "Wave band from", "Hz", 1e-2, 0.0, 10.0),
    own(f"{_W}_band_high_frequency", "Wave band to", "Hz", 1e-2, 0.0, 10.0),
    whole("wave_spectrum_basis", "Wave spectrum from", 0, 3),
    whole("wave_processing_method", "Wave processing", 0, 4),
    whole("wave_surface_no_detects", "Surface not detected", 0, 65535),
    whole("wave_surface_bad_detects", "Surface badly detected", 0, 65535),
    # A burst is sampled at hertz, so it is a stream of its own beside the tide's averages.
    standard(_BURST, "Pressure in a wave burst, absolute", "dbar", 1e-5, 0.0, 12000.0, of="sea_water_pressure"),
)
