"""The edge: reads instruments, keeps what they say safe, and brings it to the hub."""
