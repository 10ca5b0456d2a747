"""The causal language model world: fine-tune on the mix, write the next generation from prompts. Knows no policy.

Semantics of Shumailov et al.'s OPT experiment unless told otherwise: every generation starts again from the same
pre-trained weights, trains on blocks of 64 tokens, and continues each block of the first training set by 64 tokens
found with five beams; the continuations, cut like the texts whose blocks they continue, are the next texts. Token ids
go from generation to generation as they are: nothing is decoded and tokenised again.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from provenance.config import Config, checked
from provenance.errors import ConfigError, DataError
from provenance.plugins import Arrays, Part, Reference
from provenance.recursion.decoding import Decoding, Request, generate
from provenance.recursion.models import blocks, pretrained, words
from provenance.recursion.models.held_out import held_out
from provenance.recursion.models.text_classes import ClassObserver
from provenance.recursion.models.watermarking import Watermark, marker
from provenance.recursion.training import assign, tensors, train
from provenance.recursion.training_settings import TrainingSettings

Floats = NDArray[np.float32]

TINY = {
    "model_type": "opt",
    "hidden_size": 128,
    "word_embed_proj_dim": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "ffn_dim": 512,
    "max_position_embeddings": 256,
    "dropout": 0.0,
}
"""OPT of about a million parameters: what a CPU trains in seconds."""
MOST_SCORED_BLOCKS = 1_000
"""Blocks of generated and real text that are scored under generation 0."""


class CausalLmSettings(Config):
    """The `[model]` table."""

    base: str | None = None
    """A folder or name of a pre-trained model that every generation starts from; none: random weights every time."""
    architecture: dict[str, Any] = Field(default=TINY)
    """Without a base: a transformers config, with its `model_type`."""
    tokenizer: str | None = None
    """A folder or name; default: the base's, or a byte-level BPE trained on the real texts."""
    vocabulary_size: int = Field(default=2048, ge=257)
    """Tokens of the BPE trained here."""
    block_tokens: int = Field(default=64, ge=2)
    """Texts are packed one after another and cut into blocks of this length, for training and as prompts."""
    loss_from: int = Field(default=1, ge=1)
    """The first token of a block that is learned; what comes before is context only (Drayson et al.: 256 of 512)."""
    separator: bool = True
    """Whether each document begins with the tokenizer's begin-of-text token, as OPT's does."""
    validation: Path | None = None
    """A text file: the epoch with the best loss on it is kept, else the last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a CUDA device where there is one."""
    training: TrainingSettings = TrainingSettings(epochs=1, batch_size=32, learning_rate=2e-3)
    """The `[model.training]` table."""

    @model_validator(mode="after")
    def _context_leaves_something(self) -> Self:
        if self.loss_from >= self.block_tokens:
            raise ValueError(
                f"loss_from = {self.loss_from} leaves nothing to learn of {self.block_tokens} block_tokens"
            )
        return self


class CausalLmSampling(Decoding):
    """The `[sampling]` table: how tokens are chosen, and after which prompts."""

    prompts: Literal["real", "free"] = "real"
    """`real` continues each block of the first training set; `free` starts from the begin-of-text token alone."""
    prompt_tokens: int = Field(default=0, ge=0)
    """How much of a block is the prompt; 0 means all of it."""
    keep_prompt: bool = False
    """Whether the prompt is part of what is written, and only the rest of the block generated."""
    separator_allowed: bool = False
    """Whether the model may begin new documents; the published code forbids its end-of-text token."""
    batch_size: int = Field(default=0, ge=0)
    """Prompts at a time; 0 fits the device."""
    watermark: Watermark | None = None
    """The `[sampling.watermark]` table: mark what is written."""

    @model_validator(mode="after")
    def _a_kept_prompt_has_a_length(self) -> Self:
        if self.keep_prompt and (self.prompts == "free" or self.prompt_tokens == 0):
            raise ValueError("keep_prompt needs real prompts and prompt_tokens")
        if self.watermark is not None and self.watermark.scheme == "synthid" and self.method != "sample":
            raise ValueError(f"watermark scheme 'synthid' needs method 'sample', not {self.method!r}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _First:
    """What every generation of a run is compared with."""

    model: PreTrainedModel
    """Generation 0's."""
    real: Arrays
    vocabulary: words.Vocabulary
    words: NDArray[np.int64]
    """Of the real text, by their number in the vocabulary."""
    features: Floats
    """Of the real text's blocks under the model."""
    unseen_nats: Floats
    """Mean loss of held-out blocks under the model."""


class CausalLmWorld:
    """Texts under a transformer. A batch is `{"ids", "offsets"}`, as in the n-gram world, of the tokenizer's ids."""

    name: ClassVar[str] = "causal_lm"
    tables: ClassVar[tuple[type[Config], type[Config]]] = (CausalLmSettings, CausalLmSampling)

    def __init__(self, texts: Sequence[str], settings: Mapping[str, Any], sampling: Mapping[str, Any]) -> None:
        self.settings = checked(CausalLmSettings, settings, "[model] of world 'causal_lm'")
        self.sampling = checked(CausalLmSampling, sampling, "[sampling] of world 'causal_lm'")
        self.scratch: Path | None = None
        """A folder for checkpoints of the training under way; none are written without it."""
        length, prompt = self.settings.block_tokens, self.sampling.prompt_tokens
        if prompt > length - self.sampling.keep_prompt:
            raise ConfigError(f"[sampling] prompt_tokens = {prompt} does not fit block_tokens = {length}")
        cuda = torch.cuda.is_available()
        if self.settings.device == "cuda" and not cuda:
            raise ConfigError("[model] device = 'cuda', but there is no CUDA device", hint="leave device out")
        self._device = torch.device("cuda" if cuda and self.settings.device != "cpu" else "cpu")
        if self.sampling.prompts == "free" and not self.sampling.separator_allowed and self.settings.base is None:
            raise ConfigError(
                "[sampling] prompts = 'free' begins texts with a token that earlier models' texts never hold, "
                "and models from scratch would meet it untrained",
                hint="separator_allowed = true",
            )
        source = self.settings.tokenizer or self.settings.base
        if source:
            self.tokenizer = pretrained.load_tokenizer(source)
        else:
            self.tokenizer = pretrained.train_tokenizer(texts, self.settings.vocabulary_size)
        separator = self.tokenizer.bos_token_id
        self.separator: int = separator if separator is not None else self.tokenizer.eos_token_id
        if self.separator is None:
            raise ConfigError(f"tokenizer {source!r} has neither a begin-of-text nor an end-of-text token")
        self._base = pretrained.load_model(self.settings.base) if self.settings.base else None
        blank = self._base if self._base is not None else self._new(0)
        pretrained.check_vocabulary(self.tokenizer, blank, self.settings.base or "architecture")
        context = getattr(blank.config, "max_position_embeddings", None)
        if context is not None and length > context:
            raise ConfigError(f"[model] block_tokens = {length} is longer than the model's context of {context}")
        before, new = self._prompt_and_new()
        if context is not None and before + new > context:
            raise ConfigError(
                f"prompts of {before} tokens and {new} new ones exceed the model's context of {context}",
                hint="smaller [model] block_tokens or [sampling] prompt_tokens",
            )
        self._blank = blank
        self._validation = self._validation_blocks()
        self._first: _First | None = None
        self._classes = ClassObserver()

    @property
    def device(self) -> str:
        """Where networks train and write."""
        return str(self._device.type)

    def encode(self, texts: Sequence[str]) -> Arrays:
        """Texts as token ids, each behind the separator where `separator` says so."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
        prefix = [self.separator] if self.settings.separator else []
        return words.pack([np.array([*prefix, *ids], dtype=np.int32) for ids in encoded])

    def texts(self, batch: Arrays) -> list[str]:
        """The documents of a batch, special tokens left out."""
        bounds = batch["offsets"].tolist()
        documents = [batch["ids"][start:end].tolist() for start, end in pairwise(bounds)]
        return [
            self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids in documents
        ]

    def n_tokens(self, batch: Arrays) -> NDArray[np.int64]:
        """Tokens of each document, the separator included."""
        return words.lengths(batch)

    def take(self, batch: Arrays, rows: NDArray[np.int64]) -> Arrays:
        """The documents `rows` of a batch."""
        return words.take(batch, rows)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> PreTrainedModel:
        """The base fine-tuned on the parts' blocks. A weight is how much a document's tokens count in the loss."""
        seed = int(rng.integers(1 << 62))
        batch = words.concatenate([part.batch for part in parts])
        items = blocks.cut(batch["ids"], self.settings.block_tokens)
        if len(items) == 0:
            raise DataError(
                f"{len(batch['ids'])} tokens are less than one block of {self.settings.block_tokens}",
                hint="raise the budget, or set smaller block_tokens",
            )
        weights = self._token_weights(parts, items)
        model = copy.deepcopy(self._base) if self._base is not None else self._new(seed)
        model.to(self._device)
        on_device = items.to(self._device)
        first = self.settings.loss_from - 1

        def item_losses(rows: Tensor) -> Tensor:
            losses = blocks.next_token_losses(model, on_device[rows])
            if weights is not None:
                losses = losses * weights[rows]
            return losses[:, first:].mean(dim=1)

        train(
            model,
            item_losses,
            len(items),
            self.settings.training,
            seed=seed,
            what="training",
            checkpoint=self._checkpoint(items, weights, seed),
            validate=self._validate(model) if self._validation is not None else None,
        )
        return model

    def sample(self, model: PreTrainedModel, like: Arrays, rng: np.random.Generator) -> Arrays:
        """A continuation of each block of `like`, cut into documents of the same lengths."""
        seed = int(rng.integers(1 << 62))
        length, stream = self.settings.block_tokens, like["ids"]
        if len(stream) < length:
            raise DataError(f"{len(stream)} tokens are less than one block of {length}", hint="raise the budget")
        n = -(-len(stream) // length)
        # The last block may be short: it is made from the stream's last tokens and its surplus cut off at the end.
        items = blocks.cut(stream, length)
        if len(items) < n:
            items = torch.cat([items, torch.from_numpy(stream[-length:].astype(np.int64))[None]])
        prompt, new_tokens = self._prompt_and_new()
        if self.sampling.prompts == "free":
            prompts, kept = torch.full((n, prompt), self.separator), items[:, :0]
        else:
            prompts = items[:, :prompt] if self.sampling.keep_prompt else items[:, length - prompt :]
            kept = prompts if self.sampling.keep_prompt else items[:, :0]
        forbidden, mark = not self.sampling.separator_allowed, self.sampling.watermark
        request = Request(
            decoding=self.sampling,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens if forbidden else 0,
            eos=(self.separator,) if forbidden else (),
            processor=marker(mark, model.config.vocab_size, model.device) if mark is not None else None,
        )
        new = generate(self._for_decoding(model), prompts, request, seed=seed, batch_size=self.sampling.batch_size)
        written = torch.cat([kept, new], dim=1).flatten()[: len(stream)]
        return {"ids": written.numpy().astype(np.int32), "offsets": like["offsets"]}

    def observe(self, model: PreTrainedModel, samples: Arrays, reference: Reference) -> dict[str, Any]:
        """Ids, losses of held-out text under this model, and losses and features of samples under generation 0."""
        length = self.settings.block_tokens
        if self._first is None or self._first.model is not reference.model:  # the same for all generations of a run
            self._first = self._look_at_real_text(reference)
        first, real = self._first, self._first.real
        made, made_features = self._under(first.model, samples["ids"])
        written = self.texts(samples)
        seen: dict[str, Any] = {
            "sample_ids": samples["ids"],
            "sample_offsets": samples["offsets"],
            "real_ids": real["ids"],
            "real_offsets": real["offsets"],
            "separator": np.array([self.separator]),
            "sample_words": first.vocabulary.numbers(written),
            "real_words": first.words,
            "sample_block_nats": made,
            "unseen_block_nats": first.unseen_nats,
            "sample_text_features": made_features,
            "real_text_features": first.features,
        }
        if reference.held_out:
            seen |= self._classes.observe(lambda: written, lambda: self.texts(real), reference)
            texts, groups = reference.held_out, reference.held_out_subgroup
            batch = self.encode(texts)
            seen |= held_out(model, batch, texts, groups, separator=self.separator, length=length)
        return seen

    def weights(self, model: PreTrainedModel) -> Arrays:
        """All parameters, tied ones once."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors(model).items()}

    def restore(self, weights: Arrays) -> PreTrainedModel:
        """The model that `weights` was made from."""
        model = copy.deepcopy(self._blank)
        assign(model, {name: torch.from_numpy(array) for name, array in weights.items()})
        return model.to(self._device).eval()

    def _look_at_real_text(self, reference: Reference) -> "_First":
        real = words.concatenate(list(reference.real))
        texts = self.texts(real)
        vocabulary = words.Vocabulary(texts)
        unseen, _ = self._under(reference.model, self.encode(reference.held_out)["ids"])
        return _First(
            model=reference.model,
            real=real,
            vocabulary=vocabulary,
            words=vocabulary.numbers(texts),
            features=self._under(reference.model, real["ids"])[1],
            unseen_nats=unseen,
        )

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write model and tokenizer as `from_pretrained` reads them."""
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _under(self, model: PreTrainedModel, ids: NDArray[np.int32]) -> tuple[Floats, Floats]:
        return blocks.score_and_features(model, blocks.cut(ids, self.settings.block_tokens)[:MOST_SCORED_BLOCKS])

    def _prompt_and_new(self) -> tuple[int, int]:
        """Tokens of each prompt, and how many are written after it."""
        length = self.settings.block_tokens
        prompt = 1 if self.sampling.prompts == "free" else self.sampling.prompt_tokens or length
        return prompt, length - prompt if self.sampling.keep_prompt else length

    def _new(self, seed: int) -> PreTrainedModel:
        return pretrained.new_model(self.settings.architecture, len(self.tokenizer), self.separator, seed)

    def _token_weights(self, parts: Sequence[Part], items: Tensor) -> Tensor | None:
        """Weight of every predicted token (n, length − 1); None where all count the same."""
        if all(np.all(np.asarray(part.weight) == 1.0) for part in parts):
            return None
        per_token = [
            np.repeat(np.broadcast_to(part.weight, len(part.batch["offsets"]) - 1), words.lengths(part.batch))
            for part in parts
        ]
        flat = np.concatenate(per_token).astype(np.float32)[: items.numel()]
        return torch.from_numpy(flat).view(items.shape)[:, 1:].to(self._device)

    def _checkpoint(self, items: Tensor, weights: Tensor | None, seed: int) -> Path | None:
        """Where this training keeps its state: named by all that shapes it, so no other run takes it up."""
        if self.scratch is None:
            return None
        h = hashlib.sha256(f"{seed} {self.settings.model_dump_json()}".encode())
        h.update(items.numpy().tobytes())
        if weights is not None:
            h.update(weights.cpu().numpy().tobytes())
        self.scratch.mkdir(parents=True, exist_ok=True)
        return self.scratch / f"training-{h.hexdigest()[:32]}.safetensors"

    def _validation_blocks(self) -> Tensor | None:
        if self.settings.validation is None:
            return None
        try:
            text = self.settings.validation.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read validation text {self.settings.validation}: {error}") from error
        found = blocks.cut(self.encode([text])["ids"], self.settings.block_tokens)
        if len(found) == 0:
            raise DataError(f"validation text {self.settings.validation} is shorter than one block")
        return found

    def _validate(self, model: PreTrainedModel) -> Callable[[], float]:
        found = self._validation
        assert found is not None
        return lambda: float(blocks.score(model, found).mean(dtype=np.float64))

    def _for_decoding(self, model: PreTrainedModel) -> PreTrainedModel:
        if self.settings.training.precision == "fp32":
            return model.eval()
        return copy.deepcopy(model).to(torch.bfloat16).eval()
