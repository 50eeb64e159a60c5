"""Patterns of instruments that speak ASCII, as `drivers.ascii_pattern` reads them; one TOML file each."""
