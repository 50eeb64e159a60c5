"""Teledyne RD Instruments: ADCPs and Doppler velocity logs."""
