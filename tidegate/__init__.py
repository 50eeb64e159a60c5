"""The ground floor: what gateway and hub share. It imports none of the other floors."""
