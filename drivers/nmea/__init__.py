"""NMEA 0183 and the sentences that instrument makers added to it."""
