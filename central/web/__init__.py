"""The hub's page: what a data manager sees, drawn from memory and from the hub's own state."""
