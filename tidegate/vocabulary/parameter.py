"""What a parameter is, and how the groups of the vocabulary write them down, one a line."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Parameter:
    """One measurable quantity.

    `resolution` and `plausible` are in `unit`; `integer` says that values are whole numbers (int64 in a Frame).
    """

    name: str
    label: str
    unit: str
    resolution: float
    plausible: tuple[float, float]
    standard_name: str | None
    integer: bool = False


def standard(name: str, label: str, unit: str, resolution: float, low: float, high: float, of: str = "") -> Parameter:
    """A parameter of CF; `of` is the standard name where `name` is another."""
    return Parameter(name, label, unit, resolution, (low, high), of or name)


def own(name: str, label: str, unit: str, resolution: float, low: float, high: float) -> Parameter:
    """A parameter that CF has no name for."""
    return Parameter(name, label, unit, resolution, (low, high), None)


def whole(name: str, label: str, low: int, high: int, unit: str = "1", of: str | None = None) -> Parameter:
    """A parameter whose values are whole numbers: counts, codes, numbers of things."""
    return Parameter(name, label, unit, 1, (low, high), of, integer=True)


def beams(parameter: Parameter, count: int = 5) -> list[Parameter]:
    """The parameter for each of the first `count` beams."""
    return [
        replace(parameter, name=f"{parameter.name}_beam_{b}", label=f"{parameter.label}, beam {b}")
        for b in range(1, count + 1)
    ]
