"""Instruments that are not there: sans-IO, faithful to the byte, each with a ledger of what it really said."""
