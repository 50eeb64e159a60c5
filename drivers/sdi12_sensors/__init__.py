"""Sensors that speak SDI-12, as `drivers.sdi12` reads them: what each measurement gives; one TOML file each."""
