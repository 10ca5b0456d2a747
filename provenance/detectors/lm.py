"""Loading language models and tokenizers by folder or hub name, with errors a person can act on. Knows no scores."""

from pathlib import Path
from typing import Any

from provenance.errors import DataError, MissingExtraError

_HINT = "give a folder that from_pretrained can read, or a hub name"


def load_tokenizer(name: str) -> Any:
    """The tokenizer of `name` (a folder or a hub name). Raises DataError, MissingExtraError."""
    auto = _transformers("AutoTokenizer")
    _check_folder(name)
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _not_loaded("tokenizer", name, error) from error


def load_causal_lm(name: str, device: str) -> Any:
    """The model of `name` in evaluation mode on `device`. Raises DataError, MissingExtraError."""
    auto = _transformers("AutoModelForCausalLM")
    _check_folder(name)
    try:
        return auto.from_pretrained(name, dtype=_dtype(device)).to(device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_loaded("model", name, error) from error


def load_encoder(name: str, device: str) -> Any:
    """The bare transformer of `name`, without a head, on `device`. Raises DataError, MissingExtraError."""
    auto = _transformers("AutoModel")
    _check_folder(name)
    try:
        return auto.from_pretrained(name, dtype=_dtype(device)).to(device)
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_loaded("model", name, error) from error


def vocabulary_size(name: str, tokenizer: Any) -> int:
    """Rows of the output layer, which watermarks are drawn over; the tokenizer's own size where there is no model."""
    if (Path(name) / "config.json").is_file():
        config = _transformers("AutoConfig").from_pretrained(name)
        return int(config.get_text_config().vocab_size)
    return len(tokenizer)


def _dtype(device: str) -> str:
    # Half precision is what many models are stored in and what processors without it emulate, several times slower.
    return "float32" if device.startswith("cpu") else "auto"


def _transformers(attribute: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError.of("this detector", "neural") from error
    return getattr(transformers, attribute)


def _check_folder(name: str) -> None:
    looks_local = name.startswith((".", "/", "~")) or name.count("/") != 1
    if looks_local and "/" in name and not Path(name).is_dir():
        raise DataError(f"no model folder {name!r}", hint=_HINT)


def _not_loaded(what: str, name: str, error: Exception) -> DataError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DataError(
        f"the {what} {name!r} cannot be loaded: {first}",
        hint=_HINT,
    )
