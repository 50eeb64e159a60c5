"""The whole system on one machine: simulated instruments, two gateways, a broker and the hub, as real processes."""
