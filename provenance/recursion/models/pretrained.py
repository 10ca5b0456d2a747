"""Where a causal language model and its tokenizer come from: a folder or name, or made here. Knows no generation.

Only safetensors are read, and a model that lacks some of its weights is refused: transformers would fill the gaps with
random numbers and say so in a log.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from provenance.errors import ConfigError, DataError
from provenance.recursion.training import seeded

_OFFLINE_HINT = "give a local folder, or fetch it first: hf download NAME"
_END = "<|end|>"


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or of a model's name. Raises DataError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise DataError(f"no tokenizer in {name!r}: {_first_line(error)}", hint=_OFFLINE_HINT) from error
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
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, attn_implementation="sdpa", output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        hint = f"only safetensors are read; {_OFFLINE_HINT}"
        raise DataError(f"cannot load model {name!r}: {_first_line(error)}", hint=hint) from error
    gaps = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if gaps:
        raise DataError(
            f"model {name!r} is incomplete: {len(gaps)} weights are missing or of another shape, first {gaps[0]}",
            hint="copy the folder again",
        )
    return model.eval()


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
            f"[model] architecture: {_first_line(error)}", hint='for example: {model_type = "opt", hidden_size = 128}'
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


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
