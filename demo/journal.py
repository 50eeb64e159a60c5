"""Counts what the demo's hub has in its journal, from the journal itself."""

from pathlib import Path

from central.received import Kind, Received
from tidegate import topics
from tidegate.codec import samples_of
from tidegate.envelope import decode_envelope
from tidegate.journal import JournalReader


def samples(directory: Path) -> int:
    """Samples in all Envelopes of a hub's journal; each Envelope counts once."""
    counted: dict[tuple[str, str, int], int] = {}
    for record in JournalReader(directory).read():
        received = Received.unpacked(record.payload)
        place = topics.split(received.topic)
        if received.kind is Kind.BIRTH or place is None:
            continue
        envelope = decode_envelope(received.data, place[0])
        counted[envelope.platform, envelope.epoch, envelope.seq] = sum(map(samples_of, envelope.frames))
    return sum(counted.values())
