"""The n-gram world: documents as words, an interpolated Kneser-Ney model of them. Knows no policy, tag or detector."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from provenance.config import Config, checked
from provenance.errors import ConfigError, DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.models import kneser_ney, words
from provenance.recursion.models.kneser_ney import KneserNey
from provenance.recursion.models.spelling import Spelling
from provenance.recursion.models.text_classes import ClassObserver
from provenance.recursion.models.tilt import Decoding


class NgramSettings(Config):
    """The `[model]` table."""

    order: int = Field(default=3, ge=2, le=6)
    """Words per n-gram."""


class NgramWorld:
    """Texts under an n-gram model. The vocabulary is that of the real texts; held-out words outside it are spelled."""

    name: ClassVar[str] = "ngram"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (NgramSettings, Decoding)

    def __init__(self, texts: Sequence[str], settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(NgramSettings, settings, "[model] of world 'ngram'")
        self.decoding = checked(Decoding, sampling, "[sampling] of world 'ngram'")
        self.vocabulary = words.Vocabulary(texts)
        if not len(self.vocabulary):
            raise DataError("the real texts hold no words", hint="check the corpus and its text field")
        self._held_out: tuple[tuple[str, ...], _HeldOut] | None = None
        self._classes = ClassObserver()

    def encode(self, texts: Sequence[str]) -> Arrays:
        """Texts as a batch."""
        return self.vocabulary.encode(texts)

    def texts(self, batch: Arrays) -> list[str]:
        """The documents of a batch."""
        return self.vocabulary.decode(batch)

    def n_tokens(self, batch: Arrays) -> NDArray[np.int64]:
        """Tokens of each document."""
        return words.lengths(batch)

    def take(self, batch: Arrays, rows: NDArray[np.int64]) -> Arrays:
        """The documents `rows` of a batch."""
        return words.take(batch, rows)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> KneserNey:
        """Count the parts' n-grams. Counting is exact: `rng` is not used."""
        del rng
        if any(np.any(np.asarray(part.weight) != 1.0) for part in parts):
            raise ConfigError("world 'ngram' counts whole documents: 'take = \"all\"' with a weight is not possible")
        batch = words.concatenate([part.batch for part in parts])
        if len(batch["ids"]) == 0:
            raise DataError("the training set holds no words")
        return kneser_ney.fit(
            batch["ids"], batch["offsets"], order=self.settings.order, vocabulary=len(self.vocabulary)
        )

    def sample(self, model: KneserNey, like: Arrays, rng: np.random.Generator) -> Arrays:
        """Documents of the lengths of `like`, word by word from the model's own distribution, through the decoder."""
        ids = kneser_ney.sample(model, words.lengths(like), rng, self.decoding)
        return {"ids": ids, "offsets": like["offsets"]}

    def observe(self, model: KneserNey, samples: Arrays, reference: Reference) -> dict[str, Any]:
        """Sampled and real ids, and the code length of the held-out texts."""
        real_ids = np.concatenate([batch["ids"] for batch in reference.real])
        seen: dict[str, Any] = {
            "sample_ids": samples["ids"],
            "sample_offsets": samples["offsets"],
            "real_ids": real_ids,
            "sample_words": samples["ids"],
            "real_words": real_ids,
            "survivors": float(np.count_nonzero(np.bincount(samples["ids"], minlength=1))),
            "survivors_real_p": np.bincount(real_ids) / max(len(real_ids), 1),
            # The first training set is one draw of words, and each generation's samples are one more.
            "fits": reference.generation + 2,
        }
        if reference.held_out:
            seen |= self._classes.observe(
                lambda: self.texts(samples), lambda: self.texts(words.concatenate(list(reference.real))), reference
            )
            held_out = self._encoded(reference.held_out)
            seen["held_out_bits"] = held_out.bits(model)
            seen["held_out_bytes"] = held_out.n_bytes
        return seen

    def weights(self, model: KneserNey) -> Arrays:
        """The counts, by order; what `restore` reads."""
        return kneser_ney.to_arrays(model)

    def restore(self, weights: Arrays) -> KneserNey:
        """The model that `weights` was made from."""
        return kneser_ney.from_arrays(weights)

    def _encoded(self, texts: Sequence[str]) -> "_HeldOut":
        # The same texts are measured every generation: split them once.
        key = tuple(texts)
        if self._held_out is None or self._held_out[0] != key:
            self._held_out = (key, _HeldOut(self.vocabulary, key))
        return self._held_out[1]


class _HeldOut:
    """Held-out texts as token types: ids below the vocabulary's size are known words, the others are new ones."""

    def __init__(self, vocabulary: words.Vocabulary, texts: Sequence[str]) -> None:
        batch = vocabulary.encode(texts)
        tokens = [token for text in texts for token in words.split(text)]
        new = sorted({token for token, i in zip(tokens, batch["ids"].tolist(), strict=True) if i < 0})
        place = {token: len(vocabulary) + i for i, token in enumerate(new)}
        self._ids, self._offsets = batch["ids"], batch["offsets"]
        self._types = np.array(
            [i if i >= 0 else place[token] for token, i in zip(tokens, batch["ids"].tolist(), strict=True)],
            dtype=np.int64,
        )
        self._spelling = Spelling([*vocabulary.tokens, *new])
        self.n_bytes = sum(len(text.encode()) for text in texts)

    def bits(self, model: KneserNey) -> float:
        """Code length: every token under the model, and the spelling of those it has never seen."""
        known = np.zeros(self._spelling.n_types, dtype=np.bool_)
        known[kneser_ney.known_tokens(model)] = True
        p = kneser_ney.probabilities(model, self._ids, self._offsets)
        spelled = self._spelling.bits(known)
        return float(-np.log2(p).sum() + spelled[self._types[~known[self._types]]].sum())
