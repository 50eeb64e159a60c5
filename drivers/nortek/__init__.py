"""Nortek: Signature and other AD2CP instruments, the classic Aquadopp, AWAC and Vector, and their NMEA telemetry."""
