"""Vaisala's weather transmitters, barometers and humidity probes."""
