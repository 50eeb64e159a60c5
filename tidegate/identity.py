"""Names that stand for things: platforms, instruments, and the epoch of a spool."""

import re
import secrets

NAME_PATTERN = r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?"
_NAME = re.compile(NAME_PATTERN)

NAME_RULE = "1 to 64 of the characters a-z 0-9 - _, with a letter or digit at both ends"


def is_name(text: str) -> bool:
    """Whether `text` can name a platform or an instrument: it goes into topics, paths and tags as it is."""
    return _NAME.fullmatch(text) is not None


def new_epoch() -> str:
    """A new spool's identity: 16 random hexadecimal digits. A re-imaged gateway can then never pass for the old one."""
    return secrets.token_hex(8)
