"""The rules of tagging, read from TOML: prior, thresholds, what each kind of evidence may weigh. Knows no evidence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from provenance.errors import ConfigError

_PROBABILITIES = ("prior", "model_above", "human_below", "flag_at", "attested_p_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How evidence becomes a tag. Changing any of these re-scores nothing."""

    prior: float = 0.5
    """Share of model text expected before looking at a document."""
    model_above: float = 0.9
    """Inferred origin is model at or above this p_model."""
    human_below: float = 0.1
    """Inferred origin is human at or below this p_model, and only where evidence other than a detector says so."""
    flag_at: float = 0.01
    """Where local human texts are known: the share of such texts that may be called a model's by mistake."""
    attested_p_value: float = 1e-4
    """A watermark this unlikely by chance (after correction for the keys tried) attests a model."""
    max_log_lr: float = 12.0
    """No single piece of evidence weighs more than this, whatever it claims."""
    declared_log_lr: float = 1.5
    """What a source's own word weighs: about 4.5 to 1, because sources err (see `tag conflicts`)."""
    near_duplicate_log_lr: float = 4.0
    """What being a near-duplicate of a recorded model output weighs, times the similarity."""
    detector_weight: Mapping[str, float] = field(
        default_factory=lambda: {"stack": 1.0, "transformer": 1.0, "likelihood": 0.5}
    )
    """Each detector's say in the pooled opinion of all detectors; one that is not named has 0.1."""

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ConfigError(f"rules: {name} must be in (0, 1), got {value}")
        for name in ("max_log_lr", "declared_log_lr", "near_duplicate_log_lr"):
            value = getattr(self, name)
            if not 0 < value <= 50:
                raise ConfigError(f"rules: {name} must be in (0, 50], got {value}")
        if self.human_below >= self.model_above:
            raise ConfigError(f"rules: human_below {self.human_below} must be under model_above {self.model_above}")
        for name, value in self.detector_weight.items():
            if not 0 <= value <= 100:
                raise ConfigError(f"rules: detector_weight.{name} must be in [0, 100], got {value!r}")

    def weight_of(self, detector: str) -> float:
        """The say of `detector` in the pool."""
        return self.detector_weight.get(detector, 0.1)


def read_rules(path: Path) -> Rules:
    """The rules in the TOML file `path`. Raises ConfigError on an unknown key or a bad value."""
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    known = {one.name for one in fields(Rules)}
    for key, value in found.items():
        if key not in known:
            raise ConfigError(f"{path}: unknown rule {key!r}", hint=f"known: {', '.join(sorted(known))}")
        numbers = list(value.values()) if key == "detector_weight" and isinstance(value, dict) else [value]
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise ConfigError(f"{path}: {key} must be a number, got {value!r}")
    return Rules(**found)
