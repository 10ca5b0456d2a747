"""The causal language model world on a model of a few thousand parameters; nothing is downloaded."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from provenance.catalog.pool import PoolEvaluator  # noqa: E402
from provenance.catalog.store import Catalog  # noqa: E402
from provenance.errors import ConfigError, DataError  # noqa: E402
from provenance.mixing.policy import Budget, load_policy  # noqa: E402
from provenance.plugins import METRICS, Part, Reference  # noqa: E402
from provenance.recursion.documents import DocumentPool, RealTexts  # noqa: E402
from provenance.recursion.engine import turns  # noqa: E402
from provenance.recursion.models import blocks, words  # noqa: E402
from provenance.recursion.models.causal_lm import CausalLmWorld  # noqa: E402
from provenance.recursion.models.pretrained import train_tokenizer  # noqa: E402
from provenance.recursion.training import tensors  # noqa: E402
from provenance.seeds import stream  # noqa: E402

torch.set_num_threads(1)

WHO, DOES, WHAT = (
    ["The cat", "A dog", "My aunt", "Nobody"],
    ["sees", "eats", "likes"],
    ["a tree.", "the sea.", "us all."],
)
TEXTS = [f"{who} {does} {what} {who} {does} it again, and so on." for who in WHO for does in DOES for what in WHAT]
HELD_OUT = ["Nobody eats us all. My aunt likes a tree.", "A dog sees the sea again."]
SMALL = {
    "architecture": {
        "model_type": "opt", "hidden_size": 16, "word_embed_proj_dim": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "ffn_dim": 32, "max_position_embeddings": 32, "dropout": 0.0,
    },
    "vocabulary_size": 300,
    "block_tokens": 8,
    "training": {"epochs": 4, "batch_size": 8, "learning_rate": 1e-2},
}  # fmt: skip


def build(model: dict[str, Any] | None = None, **sampling: Any) -> CausalLmWorld:
    return CausalLmWorld(TEXTS, {**SMALL, **(model or {})}, sampling)


@pytest.fixture(scope="module")
def world() -> CausalLmWorld:
    return build()


@pytest.fixture(scope="module")
def model(world: CausalLmWorld) -> Any:
    return world.fit([Part(batch=world.encode(TEXTS))], stream(0, "fit"))


def test_texts_survive_encoding_and_begin_with_the_separator(world: CausalLmWorld) -> None:
    odd = ["", "Grüße, 世界 \n\t…", TEXTS[0]]
    batch = world.encode(odd)
    assert world.texts(batch) == odd
    assert batch["ids"][batch["offsets"][:-1]].tolist() == [world.separator] * 3
    assert world.n_tokens(batch)[0] == 1
    assert world.texts(world.encode([])) == []


def test_training_lowers_the_loss_of_held_out_text(world: CausalLmWorld, model: Any) -> None:
    ids = world.encode(HELD_OUT)["ids"]
    before = blocks.score_stream(world._new(0), ids, 8).mean()
    assert blocks.score_stream(model, ids, 8).mean() < 0.6 * before


def test_samples_have_the_lengths_of_the_real_documents(world: CausalLmWorld, model: Any) -> None:
    like = world.encode(TEXTS[:7])
    assert like["offsets"][-1] % 8, "the last block should be a partial one"
    samples = world.sample(model, like, stream(0, "sample"))
    assert np.array_equal(samples["offsets"], like["offsets"])
    assert world.separator not in samples["ids"]  # as in the published code, unless separator_allowed


def test_each_block_is_continued_by_the_next_one(world: CausalLmWorld, model: Any) -> None:
    like = world.encode(TEXTS[:4])
    samples = world.sample(model, like, stream(0, "sample"))
    first = torch.from_numpy(like["ids"][:8].astype(np.int64))[None]
    expected = model.generate(
        first, attention_mask=torch.ones_like(first), max_new_tokens=8, min_new_tokens=8, do_sample=False
    )[0, 8:]
    assert samples["ids"][:8].tolist() == expected.tolist()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_text_is_written_in_the_precision_asked_for(precision: str, dtype: Any) -> None:
    world = build({"training": {**SMALL["training"], "precision": precision}})
    like = world.encode(TEXTS[:4])
    model, used = world.fit([Part(batch=like)], stream(0, "fit")), set()
    model.register_forward_hook(lambda module, given, output: used.add(output.logits.dtype))
    world.sample(model, like, stream(0, "sample"))
    assert used == {dtype}
    assert model.dtype == torch.float32


def test_kept_prompts_stay_and_the_rest_is_written() -> None:
    world = build({"loss_from": 3}, prompt_tokens=3, keep_prompt=True)
    real = world.encode(TEXTS)
    model = world.fit([Part(batch=real)], stream(0, "fit"))
    samples = world.sample(model, real, stream(0, "sample"))
    n = len(real["ids"]) // 8 * 8
    made, given = samples["ids"][:n].reshape(-1, 8), real["ids"][:n].reshape(-1, 8)
    assert np.array_equal(made[:, :3], given[:, :3])
    assert not np.array_equal(made[:, 3:], given[:, 3:])


def test_free_running_text_needs_no_prompt() -> None:
    world = build(prompts="free", method="sample", separator_allowed=True)
    real = world.encode(TEXTS)
    model = world.fit([Part(batch=real)], stream(0, "fit"))
    one, two = (world.sample(model, real, stream(seed, "sample"))["ids"] for seed in (0, 1))
    assert not np.array_equal(one, two)
    assert world.separator in one, "a model that learned where documents begin begins some"


def test_only_the_later_part_of_a_block_is_learned_where_asked() -> None:
    # The loss of tokens 5 … 7 has no gradient at position embeddings of inputs that only the loss of others sees.
    world = build({"loss_from": 5, "training": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-2}})
    batch = world.encode(TEXTS)
    model = world.fit([Part(batch=batch)], stream(0, "fit"))
    every = build({"training": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-2}})
    other = every.fit([Part(batch=batch)], stream(0, "fit"))
    items = blocks.cut(batch["ids"], 8)
    late, all_late = (blocks.score(m, items)[:, 4:].mean() for m in (model, other))
    early, all_early = (blocks.score(m, items)[:, :4].mean() for m in (model, other))
    assert early - all_early > late - all_late


def test_a_last_layer_narrower_than_the_embedding_is_taken_as_it_is() -> None:
    """As in OPT-350m, whose hidden states are projected back before the output."""
    world = build({"architecture": {**SMALL["architecture"], "word_embed_proj_dim": 8}})
    model = world.fit([Part(batch=world.encode(TEXTS))], stream(0, "fit"))
    losses, features = blocks.score_and_features(model, torch.arange(16).view(2, 8))
    assert losses.shape == (2,)
    assert features.shape == (2, 8)


def test_a_weight_of_zero_silences_a_document(world: CausalLmWorld) -> None:
    loud, quiet = world.encode(["The cat sees a tree. " * 30]), world.encode(["Nobody eats us all. " * 30])

    def heard(weight: float) -> float:
        parts = [Part(batch=loud, weight=np.array([1.0])), Part(batch=quiet, weight=np.array([weight]))]
        return float(blocks.score_stream(world.fit(parts, stream(0, "fit")), quiet["ids"], 8).mean())

    assert heard(0.0) > 2 * heard(1.0)


def test_losses_are_those_of_the_model_itself(world: CausalLmWorld, model: Any) -> None:
    ids = world.encode(TEXTS[:3])["ids"]
    items = blocks.cut(ids, 8)
    losses = blocks.score(model, items)
    theirs = model(items, labels=items).loss
    assert losses.mean() == pytest.approx(theirs.item(), rel=1e-5)
    means, features = blocks.score_and_features(model, items)
    assert np.allclose(means, losses.mean(axis=1), atol=1e-5)
    assert features.shape == (len(items), 16)


def test_every_token_of_a_stream_is_scored_once_with_half_a_block_before_it(world: CausalLmWorld, model: Any) -> None:
    ids = world.encode(TEXTS[:2])["ids"][:21]
    losses = blocks.score_stream(model, ids, 8)
    assert len(losses) == 20
    for i, loss in enumerate(losses, start=1):
        # Windows start at 0, 4, 8, 12 and 13; a token belongs to the first that holds it.
        start = next(s for s in (0, 4, 8, 12, 13) if s < i < s + 8)
        window = torch.from_numpy(ids[start : i + 1].astype(np.int64))[None]
        expected = -model(window[:, :-1]).logits[0, -1].log_softmax(-1)[window[0, -1]].item()
        assert loss == pytest.approx(expected, abs=1e-5)
    assert len(blocks.score_stream(model, ids[:1], 8)) == 0


def test_a_model_comes_back_from_its_weights_tied_ones_once(world: CausalLmWorld, model: Any) -> None:
    weights = world.weights(model)
    assert not any("lm_head" in name for name in weights)
    again = world.restore(weights)
    assert all(torch.equal(a, b) for a, b in zip(tensors(again).values(), tensors(model).values(), strict=True))
    assert again.get_output_embeddings().weight is again.get_input_embeddings().weight


def test_all_metrics_of_text_are_measured(world: CausalLmWorld, model: Any) -> None:
    real = world.encode(TEXTS)
    samples = world.sample(model, real, stream(0, "sample"))
    reference = Reference(generation=0, real=[real], model=model, held_out=HELD_OUT, held_out_subgroup=["nobody", None])
    seen = world.observe(model, samples, reference)
    found = {
        m.name: m.measure(*(seen[n] for n in m.needs)) for m in map(METRICS.load, METRICS) if set(m.needs) <= set(seen)
    }
    assert {
        "bits_per_byte", "copied", "distinct_1", "mauve", "perplexity", "perplexity_text", "rare_word_coverage",
        "repetition_4", "sample_perplexity", "sample_too_easy", "self_bleu", "zipf_exponent",
    } <= set(found)  # fmt: skip
    # The subgroup is the first text, whose own code length does not depend on what follows it.
    alone = world.observe(model, samples, Reference(generation=0, real=[real], model=model, held_out=HELD_OUT[:1]))
    assert found["bits_per_byte_by_subgroup"]["nobody"] == pytest.approx(
        alone["held_out_bits"] / alone["held_out_bytes"], rel=0.05
    )
    # Bits per byte counts every token but the separators, with up to half a block more context than perplexity has.
    nats = found["bits_per_byte"] * seen["held_out_bytes"] * np.log(2)
    tokens = len(world.encode(HELD_OUT)["ids"]) - 2
    assert np.log(found["perplexity_text"]) == pytest.approx(nats / tokens, rel=0.2)


def saved(folder: Path, vocabulary_size: int = 300) -> Path:
    """A pre-trained model and its tokenizer in a folder, as `save_pretrained` leaves them."""
    tokenizer = train_tokenizer(TEXTS, vocabulary_size)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            vocab_size=300, hidden_size=16, num_hidden_layers=1, intermediate_size=24, num_attention_heads=2,
            max_position_embeddings=32, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
        )  # fmt: skip
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_every_generation_starts_from_the_pretrained_weights(tmp_path: Path) -> None:
    folder = saved(tmp_path / "base")
    training = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-2}
    world = CausalLmWorld(TEXTS, {"base": str(folder), "block_tokens": 8, "training": training}, {})
    part = [Part(batch=world.encode(TEXTS))]
    first, second = (tensors(world.fit(part, stream(0, "fit"))) for _ in range(2))
    base = tensors(transformers.AutoModelForCausalLM.from_pretrained(folder))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, base[name]) for name, tensor in first.items() if tensor.dim() == 2)
    assert all(torch.equal(tensor, base[name]) for name, tensor in tensors(world._base).items())


def test_a_folder_without_some_weights_or_without_safetensors_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path / "base")
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights.pop("model.norm.weight")
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(DataError, match=r"is incomplete: 1 weights .* first model.norm.weight"):
        CausalLmWorld(TEXTS, {"base": str(folder)}, {})
    file.unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").write_bytes(b"half of it")
    with pytest.raises(DataError, match="cannot load model"):
        CausalLmWorld(TEXTS, {"base": str(folder)}, {})
    file.unlink()
    with pytest.raises(DataError, match="cannot load model") as error:
        CausalLmWorld(TEXTS, {"base": str(folder)}, {})
    assert "only safetensors are read" in error.value.hint
    with pytest.raises(DataError, match="no model folder '/nowhere/at/all'"):
        CausalLmWorld(TEXTS, {"base": "/nowhere/at/all"}, {})


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="block_tokens = 64 is longer than the model's context of 32"):
        build({"block_tokens": 64})
    with pytest.raises(ConfigError, match="prompts of 20 tokens and 20 new ones exceed the model's context of 32"):
        build({"block_tokens": 20})
    build({"block_tokens": 20}, prompt_tokens=10, keep_prompt=True)
    with pytest.raises(ConfigError, match="models from scratch would meet it untrained"):
        build(prompts="free")
    with pytest.raises(ConfigError, match="loss_from = 8 leaves nothing to learn of 8 block_tokens"):
        build({"loss_from": 8})
    with pytest.raises(ConfigError, match="prompt_tokens = 9 does not fit block_tokens = 8"):
        build(prompt_tokens=9)
    with pytest.raises(ConfigError, match="opt knows no 'hidden'"):
        build({"architecture": {"model_type": "opt", "hidden": 3}})
    with pytest.raises(ConfigError, match="architecture"):
        build({"architecture": {"model_type": "nothing"}})
    with pytest.raises(ConfigError, match="'synthid' needs method 'sample'"):
        build(watermark={"scheme": "synthid", "key": [1, 2]})
    folder = saved(tmp_path / "base")
    train_tokenizer(TEXTS, 320).save_pretrained(tmp_path / "larger")
    with pytest.raises(ConfigError, match=r"the tokenizer has 3\d\d tokens, model .* 300"):
        CausalLmWorld(TEXTS, {"base": str(folder), "tokenizer": str(tmp_path / "larger")}, {})
    with pytest.raises(DataError, match="cannot read validation text"):
        build({"validation": str(tmp_path / "none.txt")})


def test_tails_are_measured_against_text_that_generation_0_has_not_seen(world: CausalLmWorld, model: Any) -> None:
    batch = world.encode(TEXTS)
    seen = world.observe(
        model,
        batch,
        Reference(generation=1, real=[batch], model=model, held_out=HELD_OUT, held_out_subgroup=[None] * 2),
    )
    unseen = blocks.score(model, blocks.cut(world.encode(HELD_OUT)["ids"], 8)).mean(axis=1)
    assert seen["unseen_block_nats"] == pytest.approx(unseen, rel=1e-5)


def test_vocabulary_is_counted_in_words_whatever_the_tokens_are(model: Any) -> None:
    world = build()
    real = world.encode(["Zanzibar and the sea. The sea and a tree."])
    made = world.encode(["the sea and the sea and Quito and the sea"])
    seen = world.observe(model, made, Reference(generation=1, real=[real], model=model))
    # A word includes the blank before it.
    assert METRICS.load("vocabulary").measure(seen["sample_words"]) == len({"the", " sea", " and", " the", " Quito"})
    rare = METRICS.load("rare_word_coverage").measure(seen["real_words"], seen["sample_words"])
    known = ["Zanzibar", " and", " the", " sea", ".", " The", " a", " tree"]
    assert rare == pytest.approx(len({" and", " the", " sea"}) / len(known))


def test_too_little_text_is_an_error(world: CausalLmWorld, model: Any) -> None:
    with pytest.raises(DataError, match="2 tokens are less than one block of 8"):
        world.fit([Part(batch=words.pack([np.array([0, 5], dtype=np.int32)]))], stream(0))
    with pytest.raises(DataError, match="1 tokens are less than one block of 8"):
        world.sample(model, world.encode([""]), stream(0))


def test_the_best_epoch_on_a_validation_text_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "valid.txt"
    file.write_text(" ".join(HELD_OUT))
    hot = {"epochs": 12, "batch_size": 4, "learning_rate": 5e-2}
    worlds = [build({"training": hot, **more}) for more in ({}, {"validation": str(file)})]
    batch = worlds[0].encode(TEXTS[:6])
    last, best = (
        blocks.score(w.fit([Part(batch=batch)], stream(0, "fit")), worlds[1]._validation).mean() for w in worlds
    )
    assert best < last


def test_a_watermark_is_found_by_its_detector_and_only_with_its_key(tmp_path: Path) -> None:
    from provenance.detectors.watermark import Watermark

    world = build(method="sample", temperature=2.0, watermark={"scheme": "kgw", "key": [77], "bias": 6.0})
    like = world.encode([" ".join(TEXTS)])
    samples = world.sample(world.fit([Part(batch=like)], stream(0, "fit")), like, stream(0, "sample"))
    world.tokenizer.save_pretrained(tmp_path)
    found, other = (
        Watermark(scheme="kgw", key=key, tokenizer=str(tmp_path)).score(world.texts(samples))[0] for key in ("77", "78")
    )
    assert found > 10
    assert other < 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("scheme", "keys"), [("kgw", [77]), ("synthid", list(range(101, 121)))])
def test_a_watermark_made_on_a_gpu_is_found_there(tmp_path: Path, scheme: str, keys: list[int]) -> None:
    from provenance.detectors.watermark import Watermark

    marking = {"scheme": scheme, "key": keys} | ({"bias": 6.0} if scheme == "kgw" else {})
    world = build({"device": "cuda"}, method="sample", temperature=2.0, watermark=marking)
    like = world.encode([" ".join(TEXTS)])
    samples = world.sample(world.fit([Part(batch=like)], stream(0, "fit")), like, stream(0, "sample"))
    world.tokenizer.save_pretrained(tmp_path)
    key = ",".join(map(str, keys))
    marked = Watermark(scheme=scheme, key=key, tokenizer=str(tmp_path), device="cuda")
    assert marked.score(world.texts(samples))[0] > 4


def run(policy: str, generations: int) -> list[Any]:
    """A whole recursion, as the engine runs it."""
    world = build({"training": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2}})
    real = RealTexts(ids=[bytes([i] * 16) for i in range(len(TEXTS))], texts=TEXTS, held_out=HELD_OUT)
    with PoolEvaluator() as evaluator:
        pool = DocumentPool(world, real, seed=3, budget=Budget(documents=len(TEXTS)), evaluator=evaluator)
        return list(turns(world, pool, load_policy(policy), seed=3, generations=generations))


def test_a_recursion_runs_in_the_engine_and_greedy_text_collapses() -> None:
    found = run("replace", 2)
    value = {m.metric: m.value for m in found[-1].metrics}
    first = {m.metric: m.value for m in found[0].metrics}
    assert value["perplexity"] > first["perplexity"]
    assert found[2].training.trained_on == {"generation-1": len(TEXTS)}
    assert found[0].training.trained_on == {"real": len(TEXTS)}


SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_causal_lm as t
from provenance.recursion import training
world = t.build()
world.scratch = Path(sys.argv[2])
step, training.train.__kwdefaults__["checkpoint_every_s"] = training.Step.__call__, 0
count = 0
def dying(*arguments, **named):
    global count
    count += 1
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments, **named)
training.Step.__call__ = dying
world.fit([t.Part(batch=world.encode(t.TEXTS))], t.stream(0, "fit"))
"""


def test_a_killed_fit_is_taken_up_and_ends_with_the_same_bytes(tmp_path: Path, model: Any) -> None:
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path)], check=False, env=dict(os.environ)
    )
    assert process.returncode == -signal.SIGKILL
    (state,) = tmp_path.iterdir()
    assert state.name.startswith("training-")
    world = build()
    world.scratch = tmp_path
    again = world.fit([Part(batch=world.encode(TEXTS))], stream(0, "fit"))
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(a, b) for a, b in zip(tensors(again).values(), tensors(model).values(), strict=True))


RECIPE = """
name = "tale"
world = "causal_lm"
generations = 2
policies = ["replace"]
real = { corpus = "tales", held_out = 0.2 }
budget = { documents = 20 }
model = { vocabulary_size = 300, block_tokens = 8, architecture = { model_type = "opt", hidden_size = 16, \
word_embed_proj_dim = 16, num_hidden_layers = 2, num_attention_heads = 2, ffn_dim = 32, max_position_embeddings = 32, \
dropout = 0.0 }, training = { epochs = 2, batch_size = 8, learning_rate = 1e-2 } }
"""


def test_a_stored_model_is_exported_as_a_folder_for_transformers(run, catalog, tmp_path: Path) -> None:
    (tmp_path / "tale.toml").write_text(RECIPE.replace("\\\n", "").replace("generations = 2", "generations = 1"))
    (tmp_path / "tales.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert run("corpus", "add", "tales", str(tmp_path / "tales.jsonl"), "--origin", "human").exit_code == 0
    assert run("experiment", "run", str(tmp_path / "tale.toml")).exit_code == 0
    folder = tmp_path / "model"
    assert run("experiment", "export", "tale", "replace-s0", str(folder)).exit_code == 0
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("A dog sees the sea.")["input_ids"]) == "A dog sees the sea."
    (stored,) = catalog.root.glob("experiments/generation-0/*/model.npz")
    with np.load(stored) as arrays:
        weights = {name.removeprefix("0:"): arrays[name] for name in arrays.files}
    assert set(weights) == set(tensors(model))
    assert all(np.array_equal(tensor.numpy(), weights[name]) for name, tensor in tensors(model).items())
    taken = run("experiment", "export", "tale", "replace-s0", str(folder))
    assert (taken.exit_code, "is there already" in taken.stderr) == (2, True)
    later = run("experiment", "export", "tale", "replace-s0", str(tmp_path / "later"), "--generation", "1")
    assert "generation 1 of tale/replace-s0: its model was not kept" in later.stderr
    assert not (tmp_path / "later").exists()


@pytest.mark.slow
def test_torchrun_gives_the_numbers_of_one_process_and_writes_them_once(tmp_path: Path) -> None:
    found = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        program = [sys.executable, "-c", "from provenance.cli import main; main()"]
        several = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        (folder / "tale.toml").write_text(RECIPE.replace("\\\n", ""))
        (folder / "tales.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        for command in (
            [*program, "init"],
            [*program, "corpus", "add", "tales", "tales.jsonl", "--origin", "human"],
            [*several, "--no-python", *program, "experiment", "run", "tale.toml"],
        ):
            done = subprocess.run(command, check=False, capture_output=True, cwd=folder)
            assert done.returncode == 0, done.stderr.decode()
        with Catalog.find(folder).read() as con:
            rows = con.execute(
                "SELECT run_id, metric, subgroup, generation, value FROM metrics WHERE value IS NOT NULL"
            ).fetchall()
        found.append({row[:-1]: row[-1] for row in rows})
        assert len(found[-1]) == len(rows)
    assert found[1] == pytest.approx(found[0], rel=1e-3)
