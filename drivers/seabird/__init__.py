"""Sea-Bird Scientific: CTDs, MicroCATs, thermosalinographs, wave and tide recorders."""
