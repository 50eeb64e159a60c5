"""The MQTT topics of Tidegate: `tidegate/1/{platform}/{what}`. Nobody else spells them.

birth      retained  who I am (JSON, `tidegate.messages.Birth`)
state      retained  how I am (JSON, `State`); the broker sets it to offline when the link breaks (last will)
live       Envelopes as they happen
backfill   Envelopes that had to wait
ack        hub to gateway (JSON, `Ack`)
cmd, reply hub to gateway and back (JSON)
qc/{instrument}  flagged data from the hub, for subscribers
"""

from tidegate.identity import is_name

PREFIX = "tidegate/1"


def topic(platform: str, what: str) -> str:
    """`tidegate/1/{platform}/{what}`."""
    return f"{PREFIX}/{platform}/{what}"


def of_all_platforms(what: str) -> str:
    """The filter that takes `what` of every platform."""
    return f"{PREFIX}/+/{what}"


def split(text: str) -> tuple[str, str] | None:
    """(platform, what) of a topic of ours; None where it is none."""
    parts = text.split("/", 3)
    if len(parts) != 4 or "/".join(parts[:2]) != PREFIX or not is_name(parts[2]):
        return None
    return parts[2], parts[3]
