"""What every benchmark gives."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """`value` in `unit`, the peer's likewise; `must` and `goal` say what they are bounds of. `details` go into the
    same line."""

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float
    ratio: float
    must: str
    goal: str
    details: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON."""
        rounded = {k: _rounded(v) for k, v in asdict(self).items() if k != "details"}
        return json.dumps(rounded | {k: _rounded(v) for k, v in self.details.items()})


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
