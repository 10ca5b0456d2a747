"""What a plugin must be, and the one table per kind that names them all. Imports no plugin until it is asked for.

A new plugin is one file plus one line here; the contract tests pick it up from the table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from provenance.config import Config
from provenance.errors import MissingExtraError, NotFoundError
from provenance.types import EvidenceKind

_NEURAL = frozenset({"torch", "transformers", "safetensors", "tokenizers"})
"""What the extra `neural` brings."""


class Registry:
    """Names to `"module:attribute"` strings, loaded on first use. Unknown names raise with a suggestion."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def load(self, name: str) -> Any:
        """The class or function registered as `name`. Raises NotFoundError, MissingExtraError."""
        if name not in self._entries:
            raise NotFoundError.of(self.kind, name, self._entries)
        module, _, attribute = self._entries[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _NEURAL:
                raise
            raise MissingExtraError.of(f"{self.kind} {name!r}", "neural") from error


@runtime_checkable
class Detector(Protocol):
    """Texts in, scores out. Sees no catalog, tag, lineage or policy, so what it says can be measured."""

    name: ClassVar[str]
    """[a-z0-9_]+; never changes meaning, a new meaning is `name_v2`."""
    kind: ClassVar[EvidenceKind]
    """What sort of evidence its scores are."""
    score_is: ClassVar[str]
    """`raw` (needs a calibration), `log_lr` (nats already), or `minus_log10_p` (a p-value against unrelated text)."""

    @property
    def version(self) -> str:
        """Changes whenever a score could change: algorithm number and, where trained, a hash of the weights."""

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """float64[n], higher means more model-like; NaN where the detector abstains. `""` is a legal text."""


@runtime_checkable
class TrainableDetector(Detector, Protocol):
    """A detector that learns from labelled texts and is stored as a folder without pickles."""

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn from texts and labels. Raises DataError on one class only.

        `groups` names each text's domain; a model text's may be `domain/generator`.
        """

    def save(self, folder: Path) -> None:
        """Write weights and settings into `folder`."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError when files are missing or of another version."""


@runtime_checkable
class MetadataDetector(Protocol):
    """Reads what the source says of a document instead of its text."""

    name: ClassVar[str]
    kind: ClassVar[EvidenceKind]
    version: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    """Document columns that `score_records` needs."""

    def score_records(self, records: Mapping[str, Sequence[Any]]) -> NDArray[np.float64]:
        """float64[n] from parallel columns; NaN where the record says nothing."""


Arrays = dict[str, NDArray[Any]]
"""Named arrays: what models and batches of samples are stored as (npz, never pickles)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a training set."""

    batch: Arrays
    weight: float | NDArray[np.float64] = 1.0
    """What each sample counts for; a number, or one per sample (documents only)."""


@runtime_checkable
class DocumentWorld(Protocol):
    """A generative model of texts. A batch is a set of documents; sees no policy, tag or detector.

    Built as `cls(texts, settings, sampling)`: the real texts it may learn its vocabulary from, and the tables `[model]`
    and `[sampling]` of the experiment. The random stream it is handed is the only randomness it may use.
    """

    name: ClassVar[str]
    tables: ClassVar[tuple[type[Config], type[Config]]]
    """What `[model]` and `[sampling]` may say."""

    def encode(self, texts: Sequence[str]) -> Arrays:
        """Texts as a batch, one entry per document."""

    def texts(self, batch: Arrays) -> list[str]:
        """The documents of a batch, as they would be written down."""

    def n_tokens(self, batch: Arrays) -> NDArray[np.int64]:
        """Tokens of each document."""

    def take(self, batch: Arrays, rows: NDArray[np.int64]) -> Arrays:
        """The documents `rows` of a batch, in that order, repeats allowed."""

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Any:
        """A model trained on `parts`."""

    def sample(self, model: Any, like: Arrays, rng: np.random.Generator) -> Arrays:
        """As many documents as `like` holds and of the same lengths in tokens; worlds with prompts take them there."""

    def observe(self, model: Any, samples: Arrays, reference: "Reference") -> dict[str, Any]:
        """What metrics may look at, by name (see `Metric.needs`)."""

    def weights(self, model: Any) -> Arrays:
        """The model as arrays, to hash and to store."""

    def restore(self, weights: Arrays) -> Any:
        """The model that `weights` was made from."""


@runtime_checkable
class CohortWorld(Protocol):
    """A distribution whose samples are exchangeable, simulated in many replicas at once.

    A batch is a cohort: for every replica a number of samples, held as sufficient statistics where that is exact.
    Built as `cls(settings, sampling)`.
    """

    name: ClassVar[str]
    tables: ClassVar[tuple[type[Config], type[Config]]]
    """What `[model]` and `[sampling]` may say."""
    subgroups: ClassVar[tuple[str, ...]]
    """What a verifier can tell apart, as keys of `sample`; usually `("",)`."""

    @property
    def replicas(self) -> int:
        """How many independent copies run side by side; the first axis of every array."""

    def real(self, n: NDArray[np.int64], rng: np.random.Generator) -> Arrays:
        """Real samples, `n[r]` in replica r."""

    def size(self, batch: Arrays) -> NDArray[np.int64]:
        """Samples of each replica."""

    def split(self, batch: Arrays, n: NDArray[np.int64], rng: np.random.Generator) -> tuple[Arrays, Arrays]:
        """`n[r]` samples of replica r drawn without replacement, and the rest. The batch itself never changes."""

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Any:
        """One model per replica. Raises DataError where the samples do not determine one."""

    def sample(self, model: Any, n: NDArray[np.int64], rng: np.random.Generator) -> dict[str, Arrays]:
        """`n[r]` samples from the model of replica r, by subgroup."""

    def observe(self, model: Any, samples: Sequence[tuple[str, Arrays]], reference: "Reference") -> dict[str, Any]:
        """What metrics may look at, by name; arrays have the replicas as their first axis."""

    def weights(self, model: Any) -> Arrays:
        """The model as arrays, to hash and to store."""

    def restore(self, weights: Arrays) -> Any:
        """The model that `weights` was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a generation is compared with: the real training data and the model that learned from it."""

    generation: int
    real: Sequence[Arrays]
    model: Any
    """Generation 0's model; at generation 0 the model itself."""
    real_subgroup: Sequence[str | None] = ()
    """The subgroup of each real document, where known."""
    held_out: Sequence[str] = ()
    """Human texts no generation has seen."""
    held_out_subgroup: Sequence[str | None] = ()
    """The subgroup of each, where known."""
    wanted: frozenset[str] | None = None
    """What metrics will ask for: the rest need not be observed. None: anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number per generation: its unit, which way is better, and why it can be compared between generations."""

    name: str
    unit: str
    higher_is_better: bool | None
    """None where neither direction is better by itself."""
    needs: tuple[str, ...]
    """Keys of the world's `observe`; the metric is measured where all of them are present."""
    measure: Callable[..., Any]
    """Called with the needed values in that order: a float, one value per replica, or a value per subgroup."""

    @property
    def what(self) -> str:
        """What the number says, in a line: the first of `measure`'s docstring."""
        return (self.measure.__doc__ or "").strip().partition("\n")[0]


DETECTORS = Registry(
    "detector",
    {
        "boilerplate": "provenance.detectors.boilerplate:Boilerplate",
        "compression": "provenance.detectors.compression:Compression",
        "date": "provenance.detectors.metadata:Date",
        "declared": "provenance.detectors.metadata:Declared",
        "human_registry": "provenance.detectors.registry:HumanRegistry",
        "likelihood": "provenance.detectors.likelihood:Likelihood",
        "ngram": "provenance.detectors.ngram:Ngram",
        "registry": "provenance.detectors.registry:OutputRegistry",
        "stack": "provenance.detectors.stack:Stack",
        "stylometry": "provenance.detectors.stylometry:Stylometry",
        "transformer": "provenance.detectors.transformer:Transformer",
        "watermark": "provenance.detectors.watermark:Watermark",
    },
)

WORLDS = Registry(
    "world",
    {
        "categorical": "provenance.recursion.models.categorical:CategoricalWorld",
        "causal_lm": "provenance.recursion.models.causal_lm:CausalLmWorld",
        "diffusion": "provenance.recursion.models.diffusion:DiffusionWorld",
        "gaussian": "provenance.recursion.models.gaussian:GaussianWorld",
        "gaussian_nd": "provenance.recursion.models.gaussian_nd:GaussianNDWorld",
        "gmm": "provenance.recursion.models.gmm:GMMWorld",
        "kde": "provenance.recursion.models.kde:KDEWorld",
        "ngram": "provenance.recursion.models.ngram:NgramWorld",
        "regression": "provenance.recursion.models.regression:RegressionWorld",
        "vae": "provenance.recursion.models.vae:VaeWorld",
        "verifier": "provenance.recursion.models.verifier:VerifierWorld",
    },
)

METRICS = Registry(
    "metric",
    {
        "absorbed": "provenance.recursion.metrics.categorical:ABSORBED",
        "accuracy": "provenance.recursion.metrics.accuracy:METRIC",
        "bits_per_byte": "provenance.recursion.metrics.bits_per_byte:METRIC",
        "bits_per_byte_by_subgroup": "provenance.recursion.metrics.bits_per_byte:BY_SUBGROUP",
        "class_coverage": "provenance.recursion.metrics.classes:CLASS_COVERAGE",
        "coefficient_error": "provenance.recursion.metrics.regression:METRIC",
        "component_sd": "provenance.recursion.metrics.mixture:COMPONENT_SD",
        "copied": "provenance.recursion.metrics.copied:METRIC",
        "detector_auroc": "provenance.recursion.metrics.detection:METRIC",
        "distinct_1": "provenance.recursion.metrics.distinct:DISTINCT_1",
        "distinct_2": "provenance.recursion.metrics.distinct:DISTINCT_2",
        "distinct_3": "provenance.recursion.metrics.distinct:DISTINCT_3",
        "effective_m": "provenance.recursion.metrics.categorical:EFFECTIVE_M",
        "fitted_sd": "provenance.recursion.metrics.gaussian:FITTED_SD",
        "frechet_distance": "provenance.recursion.metrics.frechet:FRECHET",
        "held_out_loss": "provenance.recursion.metrics.latent:HELD_OUT_LOSS",
        "kl_divergence": "provenance.recursion.metrics.gaussian:KL_DIVERGENCE",
        "l2_distance": "provenance.recursion.metrics.mixture:L2_DISTANCE",
        "l2_squared": "provenance.recursion.metrics.categorical:L2_SQUARED",
        "latent_sd": "provenance.recursion.metrics.latent:LATENT_SD",
        "log_det": "provenance.recursion.metrics.gaussian:LOG_DET",
        "log_variance": "provenance.recursion.metrics.gaussian:LOG_VARIANCE",
        "lost_mass": "provenance.recursion.metrics.categorical:LOST_MASS",
        "mauve": "provenance.recursion.metrics.mauve:METRIC",
        "mean_error": "provenance.recursion.metrics.gaussian:MEAN_ERROR",
        "perplexity": "provenance.recursion.metrics.perplexity:PERPLEXITY",
        "perplexity_text": "provenance.recursion.metrics.perplexity:PERPLEXITY_TEXT",
        "precision": "provenance.recursion.metrics.frechet:PRECISION",
        "rare_word_coverage": "provenance.recursion.metrics.vocabulary:RARE_WORD_COVERAGE",
        "recall": "provenance.recursion.metrics.frechet:RECALL",
        "repetition_4": "provenance.recursion.metrics.repetition:METRIC",
        "representation": "provenance.recursion.metrics.classes:REPRESENTATION",
        "reverse_kl": "provenance.recursion.metrics.categorical:REVERSE_KL",
        "sample_perplexity": "provenance.recursion.metrics.perplexity:SAMPLE_PERPLEXITY",
        "sample_perplexity_histogram": "provenance.recursion.metrics.perplexity:SAMPLE_HISTOGRAM",
        "sample_too_easy": "provenance.recursion.metrics.perplexity:SAMPLE_TOO_EASY",
        "sample_too_hard": "provenance.recursion.metrics.perplexity:SAMPLE_TOO_HARD",
        "sd_error": "provenance.recursion.metrics.gaussian:SD_ERROR",
        "self_bleu": "provenance.recursion.metrics.self_bleu:METRIC",
        "squared_mean_error": "provenance.recursion.metrics.gaussian:SQUARED_MEAN_ERROR",
        "sum_p2": "provenance.recursion.metrics.categorical:SUM_P2",
        "support": "provenance.recursion.metrics.categorical:SUPPORT",
        "tail_coverage": "provenance.recursion.metrics.categorical:TAIL_COVERAGE",
        "token_entropy": "provenance.recursion.metrics.entropy:METRIC",
        "total_variation": "provenance.recursion.metrics.categorical:TOTAL_VARIATION",
        "variance": "provenance.recursion.metrics.gaussian:VARIANCE",
        "vocabulary": "provenance.recursion.metrics.vocabulary:VOCABULARY",
        "vocabulary_coverage": "provenance.recursion.metrics.vocabulary:VOCABULARY_COVERAGE",
        "w2_squared": "provenance.recursion.metrics.gaussian:W2_SQUARED",
        "zipf_exponent": "provenance.recursion.metrics.zipf:METRIC",
    },
)
