"""The hub: proves that it has everything, judges its quality, stores it, and feeds it on."""
