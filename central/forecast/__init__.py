"""The forecast core: from checked observations at the stations to what the sea will do next."""
