"""The share language: what a mix takes from a pool, and how much. Knows no pool, no text, no detector.

A policy is a list of shares. `take` shares are served first; `share` fractions divide what is left of the budget and
must sum to 1. A row belongs to the first share that draws it.
"""

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from provenance.config import Config, checked, read_toml
from provenance.errors import NotFoundError

Shortfall = Literal["error", "fill", "upsample"]

SUM_TOLERANCE = 1e-9


class Share(Config):
    """One line of a mix: which rows, and how many of them."""

    where: str = Field(default="true", min_length=1)
    """SQL predicate over the pool's columns; NULL counts as false."""
    share: float | None = Field(default=None, ge=0, le=1)
    """Fraction of the budget left after the `take` lines."""
    take: Literal["all"] | int | None = None
    """`"all"` matching rows, or a number of documents."""
    weight: str | None = Field(default=None, min_length=1)
    """SQL expression >= 0. With `share` or a number it is the odds of being drawn; with `take = "all"` every row is
    kept and carries the weight into training."""
    order: str | None = Field(default=None, min_length=1)
    """SQL ordering (`created_at desc`): take from the top instead of at random."""
    by: str | None = Field(default=None, min_length=1)
    """A column whose values are groups: each group gets an equal part of the share, or the part `quotas` says."""
    quotas: dict[str, float] | None = Field(default=None, min_length=1)
    """Part of the share per value of the `by` column; they sum to 1."""
    epochs: int = Field(default=1, ge=1)
    """How often each drawn document comes; the budget counts every time."""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if (self.share is None) == (self.take is None):
            raise ValueError("needs exactly one of 'share' and 'take'")
        if isinstance(self.take, int) and self.take < 0:
            raise ValueError(f'take must be "all" or a number of documents >= 0, got {self.take}')
        if self.weight is not None and self.order is not None:
            raise ValueError("'weight' draws at random and 'order' does not: give one of them")
        if self.quotas is not None:
            if self.by is None:
                raise ValueError("'quotas' needs 'by', the column its keys are values of")
            if min(self.quotas.values()) < 0 or abs(sum(self.quotas.values()) - 1) > SUM_TOLERANCE:
                raise ValueError(f"the quotas are {self.quotas}; they must be >= 0 and sum to 1")
        return self


class Budget(Config):
    """How large the mix is, in documents or in tokens, and what happens when a share cannot be met."""

    documents: int | None = Field(default=None, ge=1)
    """Size in documents."""
    tokens: int | None = Field(default=None, ge=1)
    """Size in tokens; a document that would go over it is passed over for the next that does not."""
    on_shortfall: Shortfall = "error"
    """`error` stops; `fill` takes the rest from the other shares, of tokens in proportion; `upsample` repeats
    documents."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.documents is not None and self.tokens is not None:
            raise ValueError("give 'documents' or 'tokens', not both")
        return self


class MixPolicy(Config):
    """A named mix. In an experiment the budget comes from the experiment."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """What the mix, or the curve in an experiment, is called."""
    description: str = ""
    """A line for lists."""
    seed: int = 0
    """Of the draws; an experiment uses its own."""
    sources: list[str] | None = Field(default=None, alias="from", min_length=1)
    """Corpora to draw from, `name` or `name@version`; None means all."""
    budget: Budget = Budget()
    """The `[budget]` table."""
    shares: list[Share] = Field(alias="share", min_length=1)
    """`[[share]]` tables, in the order they are served."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        fractions = [line.share for line in self.shares if line.share is not None]
        if fractions and abs(sum(fractions) - 1) > SUM_TOLERANCE:
            raise ValueError(
                f"the shares sum to {sum(fractions):.10g}, not 1\nshares are fractions of the budget; for an absolute "
                "number of documents write take"
            )
        return self

    @property
    def asks_for_scores(self) -> bool:
        """Whether any share looks at what a detector said; if none does, no detector changes the mix."""
        return any(
            re.search(r"\b(p_model|tag)\b", sql or "")
            for share in self.shares
            for sql in (share.where, share.weight, share.order, share.by)
        )


def parse_policy(data: dict[str, Any], source: str) -> MixPolicy:
    """A policy from TOML tables. Raises ConfigError naming `source` and the key."""
    return checked(MixPolicy, data, source)


def load_policy(reference: str, *, folder: Path | None = None) -> MixPolicy:
    """The policy in a TOML file, or the shipped one of that name (`replace`, `accumulate`, …).

    A path is looked up in `folder` (the experiment file's) first. Raises ConfigError, NotFoundError.
    """
    if reference.endswith(".toml"):
        path = Path(reference)
        if folder is not None and not path.is_absolute():
            path = folder / path
        return parse_policy(read_toml(path), str(path))
    found = shipped_policy(reference)
    if found is not None:
        return found
    known = shipped_policies()
    raise NotFoundError.of("policy", reference, known, hint=f"shipped: {', '.join(known)}; a file ends in .toml")


def shipped_policy(name: str) -> MixPolicy | None:
    """The policy that ships under this name; None where there is none."""
    tables = shipped_tables(name)
    return parse_policy(tables, f"policy {name!r}") if "share" in tables else None


def shipped_tables(name: str) -> dict[str, Any]:
    """The tables of the shipped TOML file of this name; none where there is no such file."""
    try:
        return tomllib.loads(shipped_file(name))
    except NotFoundError:
        return {}


def shipped_file(name: str) -> str:
    """The TOML file that ships under this name, as it is. Raises NotFoundError."""
    file = files("provenance.recipes").joinpath(f"{name}.toml")
    if not file.is_file():
        raise NotFoundError.of("recipe or policy", name, (known for known, _ in shipped_files()))
    return file.read_text(encoding="utf-8")


def shipped_policies() -> list[str]:
    """Names of the policies that come with the package."""
    return [name for name, tables in shipped_files() if "share" in tables]


def shipped_files() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and tables of every TOML file that ships: those with shares are policies, those with a world experiments."""
    for entry in sorted(files("provenance.recipes").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            tables = tomllib.loads(entry.read_text(encoding="utf-8"))
            yield entry.name.removesuffix(".toml"), tables
