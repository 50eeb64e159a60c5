"""Counts what the demo's hub has in its journal, from the journal itself."""

from pathlib import Path

from central.received import Kind, Received
from tidegate.codec import unpackb
from tidegate.envelope import decode_envelope
from tidegate.journal import JournalReader


def samples(directory: Path) -> int:
    """Samples in all Envelopes of a hub's journal; each Envelope counts once."""
    counted: dict[tuple[str, str, int], int] = {}
    for record in JournalReader(directory).read():
        received = Received.unpacked(record.payload)
        if received.kind is Kind.BIRTH:
            continue
        envelope = decode_envelope(received.data)
        # A Frame's third item is its number of samples (tidegate.codec).
        counted[envelope.platform, envelope.epoch, envelope.seq] = sum(unpackb(f)[2] for f in envelope.frames)
    return sum(counted.values())
