"""The phase diagram of a swept experiment, out of the catalog: rows in, `price` asked, shares of the budget out."""

from dataclasses import dataclass, replace

from provenance.catalog import experiments as rows
from provenance.catalog.outcomes import last_values, unfinished
from provenance.catalog.store import Catalog
from provenance.config import checked
from provenance.errors import ConfigError
from provenance.plugins import METRICS
from provenance.recursion.config import CONTROL, Experiment
from provenance.recursion.price import Observation, PricePoint, price


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What keeps a family's metric good enough, for each policy and setting."""

    metric: str
    level: float
    higher_is_better: bool
    budget: int
    """Documents in every training set."""
    largest: float
    """The largest share of verified human data that was tried."""
    control: float | None
    """The metric under the control, mean over everything: what no mixing at all would give. None: not all measured."""
    points: list[PricePoint]
    """Amounts as shares of the budget."""

    @property
    def axes(self) -> list[str]:
        """Names of the settings, in the sweep's order."""
        return list(dict.fromkeys(axis for point in reversed(self.points) for axis in point.setting))


def price_of(catalog: Catalog, name: str, level: float | None = None) -> Priced:
    """The phase diagram of a family. Raises NotFoundError, ConfigError without a [price] table."""
    first = checked(Experiment, rows.experiment_config(catalog, rows.members(catalog, name)[0]), name)
    asked, budget = first.price, first.budget.documents
    if asked is None or budget is None:
        raise ConfigError(f"experiment {name!r} has no [price] table", hint="say metric, level and axis there")
    begun, open_runs = len(rows.members(catalog, name)), unfinished(catalog, name)
    if open_runs or begun < first.points:
        raise ConfigError(
            f"sweep {name!r} is not finished: {begun} of {first.points} points begun, {len(open_runs)} runs under way",
            hint="go on with: provenance experiment run and the same file",
        )
    everything = [
        Observation(
            point=_with_model_share(point, first.writes or budget), policy=policy, seed=seed, value=value, stderr=stderr
        )
        for point, policy, seed, value, stderr in last_values(catalog, name, asked.metric)
    ]
    # The control is what the policies are measured against, not a policy that anybody could choose.
    chosen = [seen for seen in everything if seen.policy != CONTROL]
    if not chosen or asked.axis not in chosen[0].point:
        raise ConfigError(f"experiment {name!r} has no values of {asked.metric!r} over the axis {asked.axis!r}")
    controls = [seen.value for seen in everything if seen.policy == CONTROL]
    known = [value for value in controls if value is not None]
    higher_is_better = bool(METRICS.load(asked.metric).higher_is_better)
    level = asked.level if level is None else level
    points = price(chosen, axis=asked.axis, level=level, higher_is_better=higher_is_better)
    return Priced(
        metric=asked.metric,
        level=level,
        higher_is_better=higher_is_better,
        budget=budget,
        largest=max(float(seen.point[asked.axis]) for seen in chosen) / budget,
        control=sum(known) / len(known) if known and len(known) == len(controls) else None,
        points=[_in_shares(point, budget) for point in points],
    )


def _in_shares(point: PricePoint, budget: int) -> PricePoint:
    smallest, low, high = (None if n is None else n / budget for n in (point.smallest, point.low, point.high))
    return replace(point, smallest=smallest, low=low, high=high)


def _with_model_share(point: dict[str, float | str], writes: int) -> dict[str, float | str]:
    """The model's share of each generation's web in place of the number of human documents that arrive beside it."""
    arrivals = point.get("arrivals")
    if not isinstance(arrivals, int | float):
        return point
    return {
        ("model_share" if name == "arrivals" else name): (
            round(writes / (writes + arrivals), 3) if name == "arrivals" else value
        )
        for name, value in point.items()
    }
