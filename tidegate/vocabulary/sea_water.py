"""Sea water, as CTDs, thermosalinographs, oxygen, pH, light and pressure sensors measure it."""

from tidegate.vocabulary.parameter import Parameter, own, standard

_T, _C, _PH = "sea_water_temperature", "sea_water_electrical_conductivity", "sea_water_ph_reported_on_total_scale"

SEA_WATER: tuple[Parameter, ...] = (
    standard(_T, "Temperature", "degC", 1e-4, -5.0, 45.0),
    standard(f"{_T}_2", "Temperature, second sensor", "degC", 1e-4, -5.0, 45.0, of=_T),
    standard(f"{_T}_at_intake", "Temperature at the intake", "degC", 1e-4, -5.0, 45.0, of=_T),
    standard(_C, "Conductivity", "S m-1", 1e-5, -0.1, 12.0),
    standard(f"{_C}_2", "Conductivity, second sensor", "S m-1", 1e-5, -0.1, 12.0, of=_C),
    standard(f"{_C}_at_reference_temperature", "Specific conductivity (25 degC)", "S m-1", 1e-5, -0.1, 12.0),
    own("temperature_of_conductivity_cell", "Conductivity cell temperature", "degC", 1e-4, -5.0, 60.0),
    standard("sea_water_practical_salinity", "Practical salinity", "1e-3", 1e-4, -0.1, 80.0),
    standard("speed_of_sound_in_sea_water", "Sound speed", "m s-1", 1e-3, 1300.0, 1800.0),
    standard("sea_water_density", "Density", "kg m-3", 1e-4, 950.0, 1100.0),
    standard("sea_water_sigma_t", "Sigma-t", "kg m-3", 1e-4, -50.0, 100.0),
    # CF: `sea_water_pressure` includes the air above; `…_due_to_sea_water` does not (what CTDs print).
    standard("sea_water_pressure", "Pressure, absolute", "dbar", 1e-3, 0.0, 12000.0),
    standard("sea_water_pressure_due_to_sea_water", "Pressure", "dbar", 1e-3, -20.0, 12000.0),
    own("standard_deviation_of_sea_water_pressure", "Pressure scatter", "dbar", 1e-3, 0.0, 1000.0),
    standard("depth", "Depth", "m", 1e-3, -20.0, 12000.0),
    own("temperature_of_pressure_sensor", "Pressure sensor temperature", "degC", 1e-3, -40.0, 85.0),
    own("period_of_pressure_signal", "Pressure signal period", "us", 1e-6, 0.0, 1000.0),
    own("period_of_temperature_signal", "Temperature signal period", "us", 1e-6, 0.0, 1000.0),
    # Oxygen and other gases.
    standard("volume_fraction_of_oxygen_in_sea_water", "Oxygen, volume", "mL L-1", 1e-3, -0.5, 30.0),
    standard("mass_concentration_of_oxygen_in_sea_water", "Oxygen, mass", "mg L-1", 1e-3, -0.5, 45.0),
    standard(
        "mole_concentration_of_dissolved_molecular_oxygen_in_sea_water", "Oxygen", "umol L-1", 1e-2, -20.0, 1500.0
    ),
    standard("fractional_saturation_of_oxygen_in_sea_water", "Oxygen saturation", "percent", 1e-2, -5.0, 400.0),
    standard("temperature_of_sensor_for_oxygen_in_sea_water", "Oxygen sensor temperature", "degC", 1e-4, -40.0, 85.0),
    own("oxygen_phase_delay", "Oxygen sensor phase delay", "us", 1e-5, 0.0, 150.0),
    own("oxygen_thermistor_voltage", "Oxygen sensor thermistor", "V", 1e-6, 0.0, 3.3),
    *[
        own(f"total_dissolved_gas_pressure{n}", f"Gas tension{which}", "hPa", 1e-5, 0.0, 5000.0)
        for n, which in (("", ""), ("_2", ", second sensor"))
    ],
    *[
        own(f"temperature_of_gas_tension_sensor{n}", f"Gas sensor temperature{which}", "degC", 1e-5, -40.0, 85.0)
        for n, which in (("", ""), ("_2", ", second sensor"))
    ],
    # Acidity.
    standard(_PH, "pH", "1", 1e-4, 0.0, 14.0),
    standard(f"{_PH}_internal_electrode", "pH, internal electrode", "1", 1e-4, 0.0, 14.0, of=_PH),
    own("sea_water_ph_reported_on_nbs_scale", "pH, NBS scale", "1", 1e-3, 0.0, 14.0),
    own("sea_water_oxidation_reduction_potential", "Redox potential", "mV", 0.1, -2000.0, 2000.0),
    own("external_ph_electrode_voltage", "pH external electrode", "V", 1e-6, -2.5, 2.5),
    own("internal_ph_electrode_voltage", "pH internal electrode", "V", 1e-6, -2.5, 2.5),
    own("temperature_of_ph_sensor", "pH sensor temperature", "degC", 1e-4, -5.0, 50.0),
    # Light and what scatters it.
    standard("mass_concentration_of_chlorophyll_in_sea_water", "Chlorophyll", "ug L-1", 1e-3, -5.0, 1000.0),
    standard("sea_water_turbidity", "Turbidity (NTU)", "1", 1e-3, -10.0, 5000.0),
    standard(
        "downwelling_photosynthetic_photon_flux_in_sea_water", "PAR in water", "umol m-2 s-1", 1e-3, -10.0, 5000.0
    ),
)
