"""Register maps of instruments that speak Modbus, as `drivers.modbus_map` reads them; one TOML file each."""
