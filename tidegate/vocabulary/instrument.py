"""The instrument itself: power, clocks, housing, counters, faults, and what is plugged into it."""

from tidegate.vocabulary.parameter import Parameter, own, whole

INSTRUMENT: tuple[Parameter, ...] = (
    whole("sample_number", "Sample number", 0, 2**53),
    whole("ensemble_number", "Ensemble", 0, 2**32),
    whole("modulo_count", "Scan count modulo 256", 0, 255),
    # Power.
    own("supply_voltage", "Supply", "V", 1e-3, 0.0, 1000.0),
    own("supply_current", "Current drawn", "mA", 0.01, 0.0, 100000.0),
    own("battery_voltage", "Battery", "V", 1e-3, 0.0, 1000.0),
    own("heating_voltage", "Heating", "V", 1e-3, 0.0, 1000.0),
    own("heating_temperature", "Heater temperature", "degC", 0.1, -90.0, 200.0),
    own("reference_voltage", "Reference voltage", "V", 1e-3, 0.0, 1000.0),
    # Clocks.
    own("clock_offset", "Clock less UTC", "s", 1e-3, -(2.0**31), 2.0**31),
    whole("clock_is_synchronized", "Clock follows a pulse per second", 0, 1),
    own("temperature_of_clock", "Clock temperature", "degC", 0.01, -60.0, 100.0),
    own("reference_oscillator_frequency", "Reference oscillator", "Hz", 1e-3, 1e6, 1e8),
    own("reference_oscillator_error", "Reference oscillator's error", "1e-6", 1e-3, -1000.0, 1000.0),
    # Housing, faults and contacts.
    own("internal_temperature", "Temperature in the housing", "degC", 0.1, -40.0, 85.0),
    own("internal_relative_humidity", "Humidity in the housing", "percent", 0.1, -10.0, 125.0),
    whole("leak_sensor_a", "Leak sensor A", 0, 65535),
    whole("leak_sensor_b", "Leak sensor B", 0, 65535),
    whole("built_in_test_result", "Built-in test", 0, 65535),
    whole("device_fault_count", "Faults", 0, 255),
    whole("device_fault_code", "First fault", 0, 65535),
    whole("device_error", "Device error", 0, 2**32),
    whole("device_status", "Device status", 0, 2**32),
    whole("device_status_0", "Device status, first word", 0, 65535),
    whole("pump_on", "Pump on", 0, 1),
    whole("bottom_contact", "Bottom contact", 0, 1),
    whole("water_sampler_confirms", "Bottle fire confirmed", 0, 1),
    whole("modem_carrier_detected", "Modem carrier detected", 0, 1),
    # What is plugged in, before it has a name.
    *[own(f"external_voltage_{n}", f"External voltage {n}", "V", 1e-4, -0.1, 5.5) for n in range(8)],
    own("surface_par_voltage", "Surface PAR sensor", "V", 1e-3, -0.1, 5.5),
    *[whole(f"auxiliary_counts_{n}", f"Auxiliary counts {n}", 0, 2**32) for n in range(1, 7)],
    *[whole(f"adc_channel_{n}", f"ADC channel {n}", 0, 255) for n in range(8)],
)
