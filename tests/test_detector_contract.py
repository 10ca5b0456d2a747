"""What every registered detector must keep, whatever it is. A new detector is tested by being listed."""

import json
import re
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from provenance.detectors.likelihood import Likelihood
from provenance.detectors.lm import load_causal_lm, load_encoder, parameters_digest
from provenance.detectors.pooling import Encoder
from provenance.detectors.stack import Stack
from provenance.errors import DataError, NotFoundError
from provenance.plugins import DETECTORS, Detector, MetadataDetector, TrainableDetector
from provenance.tagging.crossval import Labelled, held_out_scores
from provenance.tagging.train import train

ODD = ["", "word", "a" * 5000, "\x00\ufffd\u200b", "今天天气很好。" * 30, "The cat sat. " * 4000, "- - - - ? ! ,"]
METADATA = {"declared", "date"}
NEURAL = {"likelihood", "transformer", "watermark"}
TRAINABLE = sorted(set(DETECTORS) - METADATA - {"boilerplate", "watermark"})


@pytest.fixture
def make(tiny_model: Path) -> Callable[[str], Any]:
    """`make(name)` is an untrained detector."""

    def build(name: str) -> Any:
        cls = DETECTORS.load(name)
        if name == "watermark":
            return cls(scheme="unigram", key="42", tokenizer=str(tiny_model))
        return cls(model=str(tiny_model)) if name in NEURAL else cls()

    return build


@pytest.fixture
def fitted(make: Callable[[str], Any], labelled: Labelled) -> Callable[[str], Any]:
    """`fitted(name)` is a detector trained on 48 texts; one that does not train is as made."""

    def fit(name: str) -> Any:
        if name not in TRAINABLE:
            return make(name)
        rows = np.r_[np.flatnonzero(labelled.is_model)[:24], np.flatnonzero(~labelled.is_model)[:24]]
        some = labelled.take(rows)
        return make(name).fit(some.texts, some.is_model, some.groups)

    return fit


@pytest.mark.parametrize("name", sorted(set(DETECTORS)))
def test_a_detector_has_its_registered_name_and_keeps_its_protocol(name: str) -> None:
    cls = DETECTORS.load(name)
    assert cls.name == name
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert cls.__doc__
    wanted = MetadataDetector if name in METADATA else TrainableDetector if name in TRAINABLE else Detector
    missing = [member for member in dir(wanted) if not member.startswith("_") and not hasattr(cls, member)]
    assert missing == []


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - METADATA))
def test_scores_are_one_float_per_text_and_odd_texts_are_legal(name: str, fitted: Callable[[str], Any]) -> None:
    detector = fitted(name)
    scores = detector.score(ODD)
    assert scores.shape == (len(ODD),)
    assert scores.dtype == np.float64
    assert not np.isinf(scores).any()
    assert detector.score([]).shape == (0,)
    assert isinstance(detector.version, str)


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - METADATA))
def test_a_score_depends_on_its_text_alone(name: str, fitted: Callable[[str], Any], labelled: Labelled) -> None:
    detector = fitted(name)
    texts = list(labelled.texts[:5])
    together = detector.score(texts)
    apart = np.concatenate([detector.score([text]) for text in reversed(texts)])[::-1]
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TRAINABLE)
def test_what_is_saved_scores_the_same_when_loaded(
    name: str, fitted: Callable[[str], Any], labelled: Labelled, tmp_path: Path
) -> None:
    detector = fitted(name)
    detector.save(tmp_path / name)
    loaded = DETECTORS.load(name).load(tmp_path / name)
    assert loaded.version == detector.version
    # Not the texts it was trained on: it may remember those as they were measured, in other batches.
    texts = list(labelled.texts[-8:])
    np.testing.assert_allclose(loaded.score(texts), detector.score(texts), rtol=1e-5)


@pytest.mark.parametrize("name", TRAINABLE)
def test_training_on_one_class_is_an_error_with_the_counts(
    name: str, make: Callable[[str], Any], labelled: Labelled
) -> None:
    texts = list(labelled.texts[:6])
    with pytest.raises(DataError, match="6 human and 0 model"):
        make(name).fit(texts, np.zeros(6, dtype=bool), ["a"] * 6)


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_missing_or_damaged_folder_is_an_error(name: str, fitted: Callable[[str], Any], tmp_path: Path) -> None:
    cls = DETECTORS.load(name)
    with pytest.raises(DataError, match="no trained detector"):
        cls.load(tmp_path / "nowhere")
    fitted(name).save(tmp_path / "d")
    (tmp_path / "d" / "weights.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="cannot be read"):
        cls.load(tmp_path / "d")


@pytest.mark.parametrize("name", ["stylometry", "ngram", "stack"])
def test_linear_detectors_find_a_writers_tic(
    name: str, make: Callable[[str], Any], written: Callable[..., list[str]]
) -> None:
    texts = written(40, tic="Moreover,") + written(40, tic="And so", seed=1)
    labels = np.r_[np.ones(40, dtype=bool), np.zeros(40, dtype=bool)]
    detector = make(name).fit(texts, labels)
    new = detector.score(written(20, tic="Moreover,", seed=2) + written(20, tic="And so", seed=3))
    assert new[:20].min() > new[20:].max()


def test_a_voice_for_a_generator_that_wrote_nothing_is_refused(labelled: Labelled) -> None:
    with pytest.raises(NotFoundError, match="no generator named 'gpt5'"):
        train(Stack("gpt5"), labelled)


def test_generators_apart_get_a_voice_of_their_own_that_is_stored_too(
    written: Callable[..., list[str]], tmp_path: Path
) -> None:
    texts = [
        *written(60, tic="Moreover,"),
        *written(12, tic="Honestly,", seed=1),
        *written(60, tic="And so", seed=2),
    ]
    labels = np.arange(len(texts)) < 72
    groups = ["a/old"] * 60 + ["a/new"] * 12 + ["a"] * 60
    one, two = (Stack(apart).fit(texts, labels, groups) for apart in ("", "new"))
    assert [len(stack.voices) for stack in (one, two)] == [1, 2]
    human, unseen = written(40, tic="And so", seed=3), written(40, tic="Honestly,", seed=4)
    margin = [(stack.score(unseen).min() - stack.score(human).max()) for stack in (one, two)]
    assert margin[1] > margin[0]
    two.save(tmp_path / "d")
    loaded = Stack.load(tmp_path / "d")
    assert loaded.version == two.version
    assert np.array_equal(loaded.score(unseen), two.score(unseen))
    assert Stack("nobody").fit(texts, labels, groups).version == one.version


def test_another_version_of_the_weights_is_refused(fitted: Callable[[str], Any], tmp_path: Path) -> None:
    detector = fitted("stylometry")
    detector.save(tmp_path / "d")
    card = json.loads((tmp_path / "d" / "card.json").read_text()) | {"algorithm": 0}
    (tmp_path / "d" / "card.json").write_text(json.dumps(card))
    with pytest.raises(DataError, match="algorithm 0"):
        DETECTORS.load("stylometry").load(tmp_path / "d")


def test_an_unknown_detector_is_named_with_a_suggestion() -> None:
    with pytest.raises(NotFoundError) as error:
        DETECTORS.load("stylometri")
    assert "stylometry" in error.value.hint


def test_a_missing_model_folder_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(DataError, match="no model folder"):
        DETECTORS.load("likelihood")(model=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("load", [load_causal_lm, load_encoder])
def test_a_model_that_lacks_weights_or_is_a_pickle_is_refused(load: Any, tiny_model: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    file = folder / "model.safetensors"
    weights = safetensors.load_file(file)
    gone = next(name for name in sorted(weights) if name.endswith("ln_1.weight"))
    safetensors.save_file({name: w for name, w in weights.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(DataError, match="is incomplete: 1 weights are missing"):
        load(str(folder), "cpu")
    file.unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="cannot load model") as error:
        load(str(folder), "cpu")
    assert "only safetensors" in error.value.hint


def test_a_model_stored_in_half_precision_runs_in_single_on_a_processor(tiny_model: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.AutoModelForCausalLM.from_pretrained(tiny_model).half().save_pretrained(tmp_path)
    for load in (load_causal_lm, load_encoder):
        assert load(str(tmp_path), "cpu").dtype == torch.float32


def test_another_encoder_in_the_same_place_is_refused_in_another_precision_it_is_not(
    labelled: Labelled, tiny_model: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder, trained = tmp_path / "encoder", tmp_path / "detector"
    shutil.copytree(tiny_model, folder)
    rows = np.r_[np.flatnonzero(labelled.is_model)[:12], np.flatnonzero(~labelled.is_model)[:12]]
    some = labelled.take(rows)
    detector = DETECTORS.load("transformer")
    detector(model=str(folder)).fit(some.texts, some.is_model, some.groups).save(trained)
    other = transformers.AutoModelForCausalLM.from_pretrained(folder)
    other.half().save_pretrained(folder)
    half = parameters_digest(load_encoder(str(folder), "cpu"))
    assert half == parameters_digest(transformers.AutoModel.from_pretrained(folder, dtype="float16"))
    other.transformer.wte.weight.data.add_(1.0)
    other.save_pretrained(folder)
    with pytest.raises(DataError, match="is another encoder than the one it was made with"):
        detector.load(trained)


@pytest.mark.parametrize(
    ("name", "reader", "reads"), [("likelihood", Likelihood, "_measure"), ("transformer", Encoder, "pooled")]
)
def test_a_model_reads_a_text_once_in_cross_validation_and_keeps_none_that_it_scores(
    name: str, reader: type, reads: str, make: Callable[[str], Any], labelled: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.r_[np.flatnonzero(labelled.is_model)[:12], np.flatnonzero(~labelled.is_model)[:12]]
    some = labelled.take(rows)
    folds = np.arange(24) % 3
    blank = make(name)
    read: list[str] = []
    measure = getattr(reader, reads)
    monkeypatch.setattr(reader, reads, lambda self, texts, *rest: (read.extend(texts), measure(self, texts, *rest))[1])
    fitted = blank.fit(some.texts, some.is_model, some.groups)
    held_out_scores(blank, some, folds)
    assert len(read) == len(set(some.texts))
    fitted.score([text + " And more." for text in some.texts])
    assert len(fitted._seen) == len(set(some.texts))


def test_evidence_of_another_second_model_is_of_another_version(tiny_model: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    other = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    other.transformer.wte.weight.data.add_(1.0)
    other.save_pretrained(tmp_path)
    alone, same, second = (
        Likelihood(model=str(tiny_model), second=name) for name in ("", str(tiny_model), str(tmp_path))
    )
    assert len({alone.version, same.version, second.version}) == 3
    assert alone.version == f"1+{parameters_digest(load_causal_lm(str(tiny_model), 'cpu'))}"


def test_evidence_of_a_watermark_sought_with_another_tokenizer_is_of_another_version(
    make: Callable[[str], Any], tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    body = json.loads((tmp_path / "tokenizer.json").read_text())
    body["model"]["merges"], body["model"]["vocab"]["th"] = [["t", "h"]], body["model"]["vocab"].pop("<end>")
    body["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    marked = make("watermark")
    before = marked.version
    assert type(marked)(scheme="unigram", key="42", tokenizer=str(tmp_path)).version != before
    marked.score(ODD)
    assert marked.version == before == make("watermark").version


def test_a_watermark_that_is_drawn_on_its_device_has_the_type_of_the_device_in_its_version(tiny_model: Path) -> None:
    for scheme, drawn in (("unigram", False), ("synthid", True)):
        here = DETECTORS.load("watermark")(scheme=scheme, key="42", tokenizer=str(tiny_model))
        there = copy(here)
        there._device = "cuda:0"
        again = copy(here)
        again._device = "cuda"
        assert (here.version != there.version) == drawn
        assert there.version == again.version


def test_what_cannot_be_held_out_is_said_before_anything_is_fitted(labelled: Labelled) -> None:
    class Slow(DETECTORS.load("stylometry")):  # type: ignore[misc]
        def fit(self, *_: Any) -> Any:
            raise AssertionError("hours of training")

    one_class_each = replace(labelled, domains=["m" if model else "h" for model in labelled.is_model])
    with pytest.raises(DataError, match="no group can be held out"):
        train(Slow(), one_class_each)
    with pytest.raises(DataError, match="got 0 human"):
        train(Slow(), labelled.take(np.flatnonzero(labelled.is_model)))
