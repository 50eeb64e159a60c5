"""Instrument protocols, sans-IO: bytes in, Frames and commands out. One file for each instrument family."""
