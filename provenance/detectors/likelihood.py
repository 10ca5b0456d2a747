"""The `likelihood` detector: how predictable a text is to a language model, and how that predictability moves.

Untrained, the score is the analytic Fast-DetectGPT discrepancy, or Binoculars where a second model is given. Trained on
labelled texts it is a linear score over 18 features: log-probability, rank, LRR, entropy, discrepancy, and moments and
differences of surprisal (after DivEye, re-implemented from its paper). Published numbers need models of 2.7 to 7
billion parameters; one of 135 million helps a little across domains and not on new generators.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.fisher import Design, fit_fisher
from provenance.detectors.lm import load_causal_lm, load_tokenizer, parameters_digest
from provenance.detectors.normalise import normalise
from provenance.detectors.scope import abstentions
from provenance.detectors.tokens import tokenise
from provenance.detectors.weights import load_weights, read_card, save_weights, weights_digest
from provenance.errors import ConfigError
from provenance.types import EvidenceKind

FEATURES: tuple[str, ...] = (
    "log_prob", "log_rank", "lrr", "entropy", "discrepancy", "binoculars", "surprisal_sd", "surprisal_skew",
    "surprisal_kurtosis", "surprisal_max", "step_mean", "step_sd", "turn_sd", "turn_autocorrelation",
    "autocorrelation", "top1_share", "top10_share", "entropy_sd",
)  # fmt: skip
_MAX_TOKENS = 320
_RIDGE = 0.3
_TOKENS_PER_BATCH = {"cpu": 1536, "cuda": 24_576}


class Likelihood:
    """Any causal language model by name or folder, on CPU or GPU, in batches of texts of like length."""

    name: ClassVar[str] = "likelihood"
    kind: ClassVar[EvidenceKind] = EvidenceKind.DETECTOR
    score_is: ClassVar[str] = "raw"
    algorithm: ClassVar[int] = 1

    def __init__(
        self, *, model: str, second: str = "", device: str = "cpu", arrays: dict[str, NDArray[Any]] | None = None
    ) -> None:
        if not model:
            raise ConfigError("likelihood needs a model", hint="-o model=FOLDER_OR_HUB_NAME")
        self._names = (model, second)
        self._device = device
        self._tokenizer = load_tokenizer(model)
        self._model = load_causal_lm(model, device)
        self._second = load_causal_lm(second, device) if second else None
        if self._second is not None and self._second.config.vocab_size != self._model.config.vocab_size:
            raise ConfigError(f"{model!r} and {second!r} have different vocabularies; Binoculars needs the same")
        self._arrays = arrays
        self._seen: dict[str, NDArray[np.float64]] = {}

    @property
    def version(self) -> str:
        """Algorithm number, the models' parameters as a hash, and the hash of trained weights."""
        second = f".{parameters_digest(self._second)}" if self._second is not None else ""
        trained = f"+{weights_digest(self._arrays)[:12]}" if self._arrays else ""
        return f"{self.algorithm}+{parameters_digest(self._model)}{second}{trained}"

    def fit(self, texts: Sequence[str], is_model: NDArray[np.bool_], groups: Sequence[str] | None = None) -> Self:
        """Learn weights over the features; texts out of scope are left out. Raises DataError on one class only."""
        rows = self.features(texts, remember=True)
        known = np.isfinite(rows).all(axis=1)
        rows, labels = rows[known], is_model[known]
        centre, scale = rows.mean(axis=0), rows.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = np.clip((rows - centre) / scale, -4, 4)
        domains = [groups[i] for i in np.flatnonzero(known).tolist()] if groups is not None else None
        weights = fit_fisher(scaled, Design.of(labels, domains), ridge=_RIDGE)
        spread = float(np.std((scaled @ weights)[~labels])) or 1.0
        fitted = copy(self)
        fitted._arrays = {"centre": centre, "scale": scale, "weights": weights / spread}
        return fitted

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Trained: a linear score. Untrained: Fast-DetectGPT, or minus Binoculars. NaN out of scope."""
        rows = self.features(texts)
        if self._arrays is not None:
            scaled = np.clip((rows - self._arrays["centre"]) / self._arrays["scale"], -4, 4)
            return np.asarray(scaled @ self._arrays["weights"], dtype=np.float64)
        if self._second is not None:
            return -rows[:, FEATURES.index("binoculars")]
        return rows[:, FEATURES.index("discrepancy")]

    def features(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float64]:
        """float64[texts, FEATURES]; NaN rows where a text is out of scope.

        Rows that are remembered are not measured again, so cross-validation runs the language model once per text.
        """
        fresh = list(dict.fromkeys(text for text in texts if text not in self._seen))
        measured = dict(zip(fresh, self._measure(fresh), strict=True))
        rows = [measured[text] if text in measured else self._seen[text] for text in texts]
        if remember:
            self._seen.update(measured)
        return np.array(rows).reshape(len(texts), len(FEATURES))

    def _measure(self, texts: Sequence[str]) -> NDArray[np.float64]:
        clean = [normalise(text) for text in texts]
        out = np.full((len(texts), len(FEATURES)), np.nan)
        rows = np.flatnonzero(abstentions(tokenise(clean)) == 0)
        ids = [
            self._tokenizer(clean[i], truncation=True, max_length=_MAX_TOKENS, add_special_tokens=False)["input_ids"]
            for i in rows
        ]
        for batch in _batches([len(sequence) for sequence in ids], _TOKENS_PER_BATCH[self._device.split(":")[0]]):
            statistics = self._statistics([ids[k] for k in batch])
            for k, one in zip(batch, statistics, strict=True):
                out[rows[k]] = _features(one)
        return out

    def _statistics(self, ids: list[list[int]]) -> list[NDArray[np.float64]]:
        """Per text float64[7, tokens - 1]: log-prob, rank, entropy, variance, cross-entropy, and top-1, top-10 hits."""
        import torch

        longest = max(map(len, ids))
        padded = torch.zeros((len(ids), longest), dtype=torch.long, device=self._device)
        mask = torch.zeros_like(padded)
        for row, sequence in enumerate(ids):
            padded[row, : len(sequence)] = torch.tensor(sequence, device=self._device)
            mask[row, : len(sequence)] = 1
        with torch.inference_mode():
            logits = self._model(input_ids=padded, attention_mask=mask).logits
            second = self._second(input_ids=padded, attention_mask=mask).logits if self._second is not None else None
            found = []
            for row, sequence in enumerate(ids):
                stop = len(sequence) - 1
                target = padded[row, 1 : stop + 1]
                other = second[row, :stop] if second is not None else None
                found.append(_token_statistics(logits[row, :stop], target, other).double().cpu().numpy())
        return found

    def save(self, folder: Path) -> None:
        """Write the weights over features and where the language model was; the model itself is not copied."""
        model, second = self._names
        save_weights(folder, self.name, self.algorithm, self._arrays or {}, {"model": model, "second": second})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises DataError, also when the language model is gone."""
        arrays, card = load_weights(folder, cls.name, cls.algorithm)
        return cls(model=card["model"], second=card["second"], arrays=arrays or None)


def stored_model(folder: Path) -> str:
    """Which language model a stored likelihood detector needs."""
    return str(read_card(folder).get("model", ""))


def _token_statistics(logits: Any, target: Any, second: Any) -> Any:
    """One pass over (tokens, vocabulary). The rank is a count of larger logits: no sort of the vocabulary."""
    import torch

    logits = logits.float()
    log_probs = torch.log_softmax(logits, dim=-1)
    probs = log_probs.exp()
    chosen = log_probs.gather(-1, target[:, None])[:, 0]
    rank = (log_probs > chosen[:, None]).sum(dim=-1) + 1
    entropy = -(probs * log_probs).sum(dim=-1)
    variance = (probs * log_probs.square()).sum(dim=-1) - entropy.square()
    cross = entropy if second is None else -(probs * torch.log_softmax(second.float(), dim=-1)).sum(dim=-1)
    own = chosen if second is None else torch.log_softmax(second.float(), dim=-1).gather(-1, target[:, None])[:, 0]
    return torch.stack([chosen, rank.float(), entropy, variance.clamp_min(0), cross, own, (rank <= 1).float()])


def _features(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features of one text from its token statistics."""
    log_prob, rank, entropy, variance, cross, second_log_prob, _ = statistics
    if len(log_prob) < 4:
        return np.full(len(FEATURES), np.nan)
    surprisal = -log_prob
    step, turn = np.diff(surprisal), np.diff(surprisal, 2)
    log_rank = np.log(rank)
    total_sd = np.sqrt(variance.sum())
    centred = surprisal - surprisal.mean()
    sd = surprisal.std()
    values = (
        log_prob.mean(),
        log_rank.mean(),
        surprisal.mean() / max(log_rank.mean(), 1e-6),
        entropy.mean(),
        (log_prob + entropy).sum() / max(total_sd, 1e-6),
        -second_log_prob.mean() / max(cross.mean(), 1e-6),
        sd,
        (centred**3).mean() / max(sd, 1e-6) ** 3,
        (centred**4).mean() / max(sd, 1e-6) ** 4,
        surprisal.max(),
        np.abs(step).mean(),
        step.std(),
        turn.std(),
        _autocorrelation(turn),
        _autocorrelation(surprisal),
        np.mean(rank <= 1),
        np.mean(rank <= 10),
        entropy.std(),
    )
    return np.array(values, dtype=np.float64)


def _autocorrelation(values: NDArray[np.float64]) -> float:
    centred = values - values.mean()
    power = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0


def _batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices grouped by length so that texts times longest stays within `budget` tokens."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    batches: list[list[int]] = []
    for i in order:
        # Sorted, so the newcomer is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[i] <= budget:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
