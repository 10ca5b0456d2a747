"""Where a causal language model and its tokenizer come from: a folder or name, or made here. Knows no generation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from provenance.detectors import lm
from provenance.errors import ConfigError
from provenance.recursion.training import seeded

_END = "<|end|>"


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a model's name. Raises DataError."""
    tokenizer: PreTrainedTokenizerBase = lm.load_tokenizer(name)
    tokenizer.model_max_length = 1 << 30  # documents are cut into blocks here, not there
    return tokenizer


def train_tokenizer(texts: Sequence[str], vocabulary_size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer of the texts; every text can be written in it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=_END, eos_token=_END)


def load_model(name: str) -> PreTrainedModel:
    """A pre-trained causal model in fp32. Raises DataError when it is missing, incomplete or not in safetensors."""
    model: PreTrainedModel = lm.load_causal_lm(name, "cpu")
    return model


def new_model(architecture: Mapping[str, Any], vocabulary_size: int, separator: int, seed: int) -> PreTrainedModel:
    """A model with random weights. `architecture` is a transformers config with `model_type`. Raises ConfigError."""
    options = dict(architecture)
    kind = options.pop("model_type", None)
    special = {"bos_token_id": separator, "eos_token_id": separator, "pad_token_id": None}
    try:
        config = AutoConfig.for_model(kind, **{"vocab_size": vocabulary_size, **special, **options})
        with seeded(torch.device("cpu"), seed):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"[model] architecture: {lm.first_line(error)}", hint='for example: {model_type = "opt", hidden_size = 128}'
        ) from error
    # A config takes any keyword and keeps it; only those a plain one has mean something.
    unknown = sorted(set(options) - set(type(config)().to_dict()) - set(config.attribute_map))
    if unknown:
        raise ConfigError(f"[model] architecture: {kind} knows no {unknown[0]!r}")
    return model.eval()


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, name: str) -> None:
    """Raises ConfigError when the tokenizer knows ids that the model does not."""
    if len(tokenizer) > model.config.vocab_size:
        raise ConfigError(
            f"the tokenizer has {len(tokenizer)} tokens, model {name!r} {model.config.vocab_size}",
            hint="use the model's own tokenizer",
        )
