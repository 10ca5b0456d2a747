"""Training a detector and learning, from held-out scores, how to read it. Knows labelled texts and a target folder."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from provenance.detectors.fisher import check_two_classes
from provenance.detectors.weights import CARD, read_card
from provenance.errors import NotFoundError
from provenance.plugins import TrainableDetector
from provenance.tagging.crossval import Labelled, domain_folds, generator_folds, held_out_scores, usable_folds
from provenance.tagging.leaks import Leak, leak_report
from provenance.tagging.metrics import Quality, by_slice
from provenance.tagging.reading import Reading, make_reading
from provenance.tagging.shift import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A fitted detector with everything its card says."""

    detector: TrainableDetector
    reading: Reading | None
    """None for detectors whose scores are p-values already."""
    domains_held_out: list[Quality]
    generators_held_out: list[Quality]
    leaks: list[Leak]
    data: Labelled

    @property
    def doubts(self) -> list[str]:
        """What the detector found wrong with its training texts."""
        return list(getattr(self.detector, "doubts", ()))

    def save(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Write into `folder` (empty, and published by the caller); the card, complete, comes last."""
        self.detector.save(folder)
        if self.reading is not None:
            self.reading.save(folder)
        card = {**read_card(folder), **about, **self.facts()}
        temporary = folder / (CARD + ".part")
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        temporary.write_bytes(orjson.dumps(card, option=options))
        temporary.replace(folder / CARD)

    def facts(self) -> dict[str, Any]:
        """What was learned from and how well that went on what was held out."""
        counts = Counter(zip(self.data.domains, self.data.generators, strict=True))
        return {
            "version": self.detector.version,
            "training": [
                {"domain": domain, "generator": generator or "human", "texts": count}
                for (domain, generator), count in sorted(counts.items())
            ],
            "domain_held_out": [asdict(one) for one in self.domains_held_out],
            "generator_held_out": [asdict(one) for one in self.generators_held_out],
            "leaks": [asdict(one) for one in self.leaks],
        }


def train(blank: TrainableDetector, data: Labelled) -> Trained:
    """Fit on everything; read from what was held out.

    Raises, before anything is fitted, DataError on one class only and when nothing can be held out, NotFoundError when
    a generator that shall have a voice of its own wrote none of the texts.
    """
    check_two_classes(data.is_model)
    # In a fold such a generator may be missing; in the whole it is a slip of the pen that would cost its voice.
    for name in sorted(getattr(blank, "apart", ())):
        if name not in data.generators:
            raise NotFoundError.of("generator", name, set(data.generators) - {""})
    if blank.score_is == "raw":
        # Fitting can take hours: what would stop the cross-validation after it is said before it.
        usable_folds(data, domain_folds(data))
    fitted = blank.fit(data.texts, data.is_model, data.groups)
    if blank.score_is != "raw":
        return Trained(
            detector=fitted,
            reading=None,
            domains_held_out=[],
            generators_held_out=[],
            leaks=leak_report(data.texts, data.is_model, data.domains),
            data=data,
        )
    by_domain = held_out_scores(blank, data, domain_folds(data))
    several = len(set(data.generators) - {""}) > 1
    by_generator = held_out_scores(blank, data, generator_folds(data)) if several else None
    return assemble(fitted, data, by_domain, by_generator)


def assemble(
    fitted: TrainableDetector,
    data: Labelled,
    by_domain: NDArray[np.float64],
    by_generator: NDArray[np.float64] | None,
) -> Trained:
    """A fitted detector with what scores of held-out domains, and of held-out generators if there are any, teach."""
    slices = {"domain": data.domains, "generator": data.generators, "length": length_bins(data)}
    return Trained(
        detector=fitted,
        reading=make_reading(fitted.name, fitted.version, data, by_domain, Profile.of(data.texts, data.domains)),
        domains_held_out=by_slice(by_domain, data.is_model, slices, against="domain"),
        generators_held_out=[]
        if by_generator is None
        else by_slice(by_generator, data.is_model, {"generator": data.generators}),
        leaks=leak_report(data.texts, data.is_model, data.domains),
        data=data,
    )


def length_bins(data: Labelled) -> list[str]:
    """`30-49`, `50-99`, `100-199`, `200+` words; "" below 30."""
    edges = np.array([30, 50, 100, 200])
    names = ["", "30-49", "50-99", "100-199", "200+"]
    words: NDArray[np.int64] = np.array([len(text.split()) for text in data.texts])
    return [names[k] for k in np.searchsorted(edges, words, side="right").tolist()]
