"""Loading language models and tokenizers by folder or hub name, with errors a person can act on. Knows no scores.

Only safetensors are read, and a model that lacks some of its weights is refused: transformers would fill the gaps with
random numbers and say so in a log.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from provenance.errors import DataError, MissingExtraError

_HINT = "give a folder that from_pretrained can read, or fetch it first: hf download NAME"


def load_tokenizer(name: str) -> Any:
    """The tokenizer of `name` (a folder or a hub name). Raises DataError, MissingExtraError."""
    auto = _transformers("AutoTokenizer")
    _check_folder(name)
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise DataError(f"no tokenizer in {name!r}: {first_line(error)}", hint=_hint(name)) from error


def load_causal_lm(name: str, device: str) -> Any:
    """The model of `name` in evaluation mode on `device`. Raises DataError, MissingExtraError."""
    return _load("AutoModelForCausalLM", name, device)


def load_encoder(name: str, device: str) -> Any:
    """The bare transformer of `name`, without a head, in evaluation mode. Raises DataError, MissingExtraError."""
    return _load("AutoModel", name, device)


def vocabulary_size(name: str, tokenizer: Any) -> int:
    """Rows of the output layer, which watermarks are drawn over; the tokenizer's own size where there is no model."""
    if (Path(name) / "config.json").is_file():
        config = _transformers("AutoConfig").from_pretrained(name)
        return int(config.get_text_config().vocab_size)
    return len(tokenizer)


def parameters_digest(model: Any) -> str:
    """A short hash of a model's configuration and of a sample of its parameters, whatever precision they run in."""
    config = json.loads(model.config.to_json_string(use_diff=False))
    config.pop("dtype", None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        digest.update(name.encode() + flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def tokenizer_digest(tokenizer: Any) -> str:
    """A hash of how a tokenizer cuts text."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    said = json.loads(fast.to_str()) if fast is not None else {"vocabulary": tokenizer.get_vocab()}
    # How the last call cut and padded is kept there too, and is no property of the tokenizer.
    said["truncation"] = said["padding"] = None
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _load(auto: str, name: str, device: str) -> Any:
    loader = _transformers(auto)
    from safetensors import SafetensorError

    _check_folder(name)
    try:
        model, report = loader.from_pretrained(
            name, dtype=_dtype(device), use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        hint = f"only safetensors are read; {_hint(name)}"
        raise DataError(f"cannot load model {name!r}: {first_line(error)}", hint=hint) from error
    # A pooler is a head of its own, which checkpoints of other heads lack and nothing here asks.
    missing = [key for key in report["missing_keys"] if not key.startswith("pooler.")]
    gaps = sorted(map(str, [*missing, *report["mismatched_keys"]]))
    if gaps:
        raise DataError(
            f"model {name!r} is incomplete: {len(gaps)} weights are missing or of another shape, first {gaps[0]}",
            hint="copy the folder again",
        )
    return model.to(device).eval()


def _dtype(device: str) -> str:
    # Half precision is what many models are stored in and what processors without it emulate, several times slower.
    return "float32" if device.startswith("cpu") else "auto"


def _transformers(attribute: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError.of("this model", "neural") from error
    transformers.utils.logging.disable_progress_bar()  # for loading weights, which takes a second
    return getattr(transformers, attribute)


def _check_folder(name: str) -> None:
    looks_local = name.startswith((".", "/", "~")) or name.count("/") != 1
    if looks_local and "/" in name and not Path(name).is_dir():
        raise DataError(f"no model folder {name!r}", hint=_HINT)


def _hint(name: str) -> str:
    return _HINT if Path(name).is_dir() else f"there is no folder {name!r} here; {_HINT}"


def first_line(error: Exception) -> str:
    """What transformers says in one line; its errors go on for a screen."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
