"""The `watermark` detector: KGW and SynthID as transformers builds them in, and Unigram; whoever asks brings the key.

The score is -log10 of an exact binomial p-value, corrected for the number of keys tried. Repeated n-grams count once:
counting them again makes plain text look marked. Detection needs the generator's tokenizer, vocabulary size, settings
and device type, and a text without its prompt.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from provenance.detectors.lm import load_tokenizer, tokenizer_digest, vocabulary_size
from provenance.errors import ConfigError
from provenance.types import EvidenceKind

SCHEMES = ("kgw", "synthid", "unigram")
_MIN_TOKENS = 16
_MAX_CHARS = 20_000
_SMALLEST_P = 1e-300


class Watermark:
    """One scheme with one or more keys. SynthID's keys are one vector of integers; others are tried in turn."""

    name: ClassVar[str] = "watermark"
    kind: ClassVar[EvidenceKind] = EvidenceKind.WATERMARK
    score_is: ClassVar[str] = "minus_log10_p"

    def __init__(
        self,
        *,
        scheme: str,
        key: str,
        tokenizer: str,
        greenlist_ratio: float | str = 0.25,
        seeding_scheme: str = "lefthash",
        context_width: int | str = 1,
        ngram_len: int | str = 5,
        device: str = "cpu",
    ) -> None:
        if scheme not in SCHEMES:
            raise ConfigError(f"unknown watermark scheme {scheme!r}", hint=f"known: {', '.join(SCHEMES)}")
        try:
            self._keys = tuple(int(part) for part in str(key).split(","))
            self._ratio, self._width, self._ngram_len = float(greenlist_ratio), int(context_width), int(ngram_len)
        except ValueError as error:
            raise ConfigError(
                f"watermark settings must be numbers: {error}", hint="keys are integers: 15485863"
            ) from error
        if not 0 < self._ratio < 1:
            raise ConfigError(f"watermark: greenlist_ratio must be in (0, 1), got {self._ratio}")
        self._scheme, self._seeding, self._device = scheme, seeding_scheme, device
        self._tokenizer = load_tokenizer(tokenizer)
        self._vocabulary = vocabulary_size(tokenizer, self._tokenizer)
        self._cuts = tokenizer_digest(self._tokenizer)
        self._tests = self._build()

    @property
    def version(self) -> str:
        """Scheme and a hash of settings, tokenizer and keys; the keys themselves are a secret."""
        # transformers draws its green lists and g-values on the device; generators of another type draw others.
        drawn_on = "" if self._scheme == "unigram" else self._device.split(":")[0]
        settings = (
            f"{self._ratio}:{self._seeding}:{self._width}:{self._ngram_len}:{self._vocabulary}:{self._keys}:"
            f"{self._cuts}:{drawn_on}"
        )
        return f"1+{self._scheme}.{hashlib.sha256(settings.encode()).hexdigest()[:12]}"

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """-log10(p) per text; NaN below 16 tokens."""
        out = np.full(len(texts), np.nan)
        for i, text in enumerate(texts):
            ids = self._tokenizer(text[:_MAX_CHARS], add_special_tokens=False)["input_ids"]
            if len(ids) >= _MIN_TOKENS:
                p_value = min(1.0, len(self._tests) * min(test(ids) for test in self._tests))
                out[i] = -np.log10(max(p_value, _SMALLEST_P))
        return out

    def _build(self) -> list[Any]:
        if self._scheme == "unigram":
            return [_Unigram(key, self._ratio, self._vocabulary) for key in self._keys]
        if self._scheme == "synthid":
            return [_SynthID(self._keys, self._ngram_len, self._device)]
        return [
            _Kgw(key, self._ratio, self._seeding, self._width, self._vocabulary, self._device) for key in self._keys
        ]


class _Kgw:
    """Kirchenbauer et al. 2023, through transformers' WatermarkDetector."""

    def __init__(self, key: int, ratio: float, seeding: str, width: int, vocabulary: int, device: str) -> None:
        from transformers import PretrainedConfig, WatermarkDetector, WatermarkingConfig

        config = PretrainedConfig(vocab_size=vocabulary)
        # No token id is -1, so the detector never takes a first token for a prompt marker.
        config.bos_token_id = -1
        marking = WatermarkingConfig(
            greenlist_ratio=ratio, hashing_key=key, seeding_scheme=seeding, context_width=width
        )
        self._ratio, self._device = ratio, device
        self._detector = WatermarkDetector(config, device, marking, ignore_repeated_ngrams=True, max_cache_size=4096)

    def __call__(self, ids: list[int]) -> float:
        import torch

        # transformers draws green lists where the ids are, and only a generator of the same device can do that.
        found = self._detector(torch.tensor([ids], device=self._device), return_dict=True)
        return _binomial_p(int(found.num_green_tokens[0]), int(found.num_tokens_scored[0]), self._ratio)


class _SynthID:
    """Dathathri et al. 2024: g-values are fair coins without the key's mark."""

    def __init__(self, keys: tuple[int, ...], ngram_len: int, device: str) -> None:
        import torch
        from transformers import SynthIDTextWatermarkLogitsProcessor

        self._device = device
        self._processor = SynthIDTextWatermarkLogitsProcessor(
            ngram_len=ngram_len, keys=list(keys), sampling_table_size=2**16, sampling_table_seed=0,
            context_history_size=1024, device=torch.device(device),
        )  # fmt: skip

    def __call__(self, ids: list[int]) -> float:
        import torch

        tokens = torch.tensor([ids], device=self._device)
        g_values = self._processor.compute_g_values(tokens)[0]  # (tokens - ngram_len + 1, keys)
        fresh = self._processor.compute_context_repetition_mask(tokens)[0].bool()
        kept = g_values[fresh]
        return _binomial_p(int(kept.sum()), kept.numel(), 0.5)


class _Unigram:
    """Zhao et al. 2023: one green list for every position; a token type counts once."""

    def __init__(self, key: int, ratio: float, vocabulary: int) -> None:
        self._ratio = ratio
        self._green = unigram_green(key, ratio, vocabulary)

    def __call__(self, ids: list[int]) -> float:
        types = np.unique([i for i in ids if i < len(self._green)])
        return _binomial_p(int(self._green[types].sum()), len(types), self._ratio)


def unigram_green(key: int, ratio: float, vocabulary: int) -> NDArray[np.bool_]:
    """Which token ids are on Unigram's green list (the construction of the authors' code)."""
    seed = int.from_bytes(hashlib.sha256(np.int64(key).tobytes()).digest()[:4], "little")
    green = np.zeros(vocabulary, dtype=np.bool_)
    green[: int(ratio * vocabulary)] = True
    np.random.default_rng(seed).shuffle(green)
    return green


def _binomial_p(successes: int, trials: int, rate: float) -> float:
    from scipy.stats import binom

    return float(binom.sf(successes - 1, trials, rate)) if trials else 1.0
