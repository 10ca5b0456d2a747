"""How fast a generation of the causal language model world is, beside transformers' Trainer and generate.

Usage: python bench/lm.py [--device cpu|cuda] [--repeats 3] [--blocks N] [--peak-tflops 989]
One generation is an epoch of training on N blocks of 64 tokens and a continuation of each block by 64 tokens found
with five beams. `published` is transformers as the released code uses it: fp32, batches of 128, five beams. `tuned` is
the same in bf16 on a GPU, with the best of several batch sizes for decoding. Repeats alternate, the best rate of each
counts; the slow ways get fewer blocks. On a GPU one whole generation of the published size follows. A CPU is timed
in process CPU seconds, a GPU in seconds after a synchronisation. The Trainer needs `accelerate`. On a CPU the model is
an OPT of about a million parameters trained for an epoch on the speeches that ship; on a GPU it has OPT-125m's shape,
random weights and random tokens: a shape, not that model.
"""

import argparse
import copy
import functools
import json
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import transformers
from machine import machine, write_result
from torch.utils.data import TensorDataset

from provenance import sample
from provenance.plugins import Part
from provenance.recursion.decoding import Decoding, Request, generate
from provenance.recursion.models import blocks
from provenance.recursion.models.causal_lm import CausalLmWorld
from provenance.recursion.training import train
from provenance.recursion.training_settings import TrainingSettings
from provenance.seeds import stream

LENGTH, BEAMS = 64, 5
OPT_125M_SHAPE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "ffn_dim": 3072,
    "vocab_size": 50272,
}


def setting(device: str, n: int) -> tuple[Any, torch.Tensor]:
    """A model and n blocks of tokens."""
    if device == "cuda":
        config = transformers.OPTConfig(word_embed_proj_dim=768, max_position_embeddings=2048, **OPT_125M_SHAPE)
        torch.manual_seed(0)
        model = transformers.OPTForCausalLM._from_config(config, attn_implementation="sdpa").to(device)
        ids = np.random.default_rng(0).zipf(1.2, n * LENGTH) % 50000 + 4
        return model, torch.from_numpy(ids).view(n, LENGTH)
    with pa.input_stream(str(sample.path("speeches")), compression="zstd") as file:
        texts = [json.loads(line)["text"] for line in file.read().decode().splitlines()]
    world = CausalLmWorld(texts, {"training": {"epochs": 1, "batch_size": 16, "learning_rate": 2e-3}}, {})
    batch = world.encode(texts)
    model = world.fit([Part(batch=world.take(batch, np.arange(500)))], stream(0, "bench"))
    return model, blocks.cut(batch["ids"], LENGTH)[-n:]


def timed(work: Callable[[], Any], device: str) -> tuple[float, Any]:
    clock = time.perf_counter if device == "cuda" else time.process_time
    if device == "cuda":
        torch.cuda.synchronize()
    started = clock()
    result = work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started, result


def train_ours(model: Any, items: torch.Tensor, *, cuda: bool, epochs: int = 1) -> None:
    on_device = items.to(model.device)
    settings = TrainingSettings(
        epochs=epochs, batch_size=128, learning_rate=2e-5, precision="bf16" if cuda else "fp32", compile=cuda
    )
    train(
        model, lambda rows: blocks.next_token_losses(model, on_device[rows]).mean(1), len(items), settings, seed=0,
        what="bench",
    )  # fmt: skip


def train_theirs(model: Any, items: torch.Tensor, *, bf16: bool) -> None:
    def collate(rows: list[tuple[torch.Tensor]]) -> dict[str, torch.Tensor]:
        ids = torch.stack([row[0] for row in rows])
        return {"input_ids": ids, "labels": ids}

    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, per_device_train_batch_size=128, num_train_epochs=1, learning_rate=2e-5, bf16=bf16,
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            use_cpu=model.device.type == "cpu", dataloader_num_workers=0,
        )  # fmt: skip
        transformers.Trainer(model, arguments, data_collator=collate, train_dataset=TensorDataset(items)).train()


def decode_ours(model: Any, items: torch.Tensor) -> torch.Tensor:
    decoding = Decoding(method="beam", beams=BEAMS)
    eos = (int(model.config.eos_token_id),)
    return generate(model, items, Request(decoding=decoding, max_new_tokens=LENGTH, min_new_tokens=LENGTH, eos=eos))


def decode_theirs(model: Any, items: torch.Tensor, size: int) -> torch.Tensor:
    parts = []
    for part in torch.split(items, size):
        ids = part.to(model.device)
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), num_beams=BEAMS, max_new_tokens=LENGTH, min_new_tokens=LENGTH,
            do_sample=False, pad_token_id=model.config.eos_token_id,
        )  # fmt: skip
        parts.append(found[:, LENGTH:].cpu())
    return torch.cat(parts)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    cuda = args.device == "cuda"
    model, items = setting(args.device, args.blocks)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    writer = copy.deepcopy(model).to(torch.bfloat16).eval() if cuda else model.eval()
    n = len(items)
    # What a way costs per block does not depend on how many there are, so the slow ones get fewer.
    ways: dict[str, tuple[int, Callable[[torch.Tensor], Any]]] = {
        "train.ours": (n, lambda part: train_ours(model, part, cuda=cuda)),
        "decode.ours": (n, lambda part: decode_ours(writer, part)),
        "train.published": (min(n, 2048), lambda part: train_theirs(model, part, bf16=False)),
        "decode.published.128": (min(n, 128 if cuda else 256), lambda part: decode_theirs(model.eval(), part, 128)),
    }
    for size in (512, 1024) if cuda else (16, 32, 64):
        ways[f"decode.tuned.{size}"] = (
            min(n, size if cuda else 1024),
            lambda part, size=size: decode_theirs(writer, part, size),
        )
    if cuda:
        ways["train.tuned"] = (min(n, 8192), lambda part: train_theirs(model, part, bf16=True))
    rates: dict[str, float] = {}
    tokens: dict[str, torch.Tensor] = {}
    memory: dict[str, int] = {}
    for repeat in range(args.repeats):
        for name, (blocks_here, work) in ways.items():
            model.load_state_dict(state)
            if cuda:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            took, result = timed(functools.partial(work, items[:blocks_here]), args.device)
            rates[name] = max(blocks_here * LENGTH / took, rates.get(name, 0.0))
            if cuda:
                memory[name] = torch.cuda.max_memory_allocated()
            if result is not None:
                tokens[name] = result
            print(f"repeat {repeat} {name}: {blocks_here} blocks, {took:.2f} s", flush=True)
    found = report(model, rates, tokens, memory, args)
    if cuda:
        found["whole_generation"] = whole = whole_generation(model, writer, args)
        whole |= beside_transformers(whole, found, args.peak_tflops)
    return found


def whole_generation(model: Any, writer: Any, args: argparse.Namespace) -> dict[str, Any]:
    """One generation of the published experiment as it is: 2.4 million tokens, five epochs, a continuation of each."""
    _, items = setting("cuda", args.generation_blocks)
    training, _ = timed(lambda: train_ours(model, items, cuda=True, epochs=5), "cuda")
    decoding, _ = timed(lambda: decode_ours(writer, items), "cuda")
    bytes_read = decoding_bytes(model, len(items))
    bandwidth = copy_bandwidth()
    return {
        "blocks": len(items),
        "epochs": 5,
        "training_seconds": training,
        "decoding_seconds": decoding,
        "decoding_bytes_at_least": bytes_read,
        "copy_bytes_per_second": bandwidth,
        "decoding_seconds_at_that_rate": bytes_read / bandwidth,
    }


def beside_transformers(whole: dict[str, Any], found: dict[str, Any], peak_tflops: float | None) -> dict[str, Any]:
    """What the same generation takes at the rates measured for transformers, and the whole training's MFU."""
    rates, tokens = found["tokens_per_second"], whole["blocks"] * LENGTH
    seconds = whole["training_seconds"] + whole["decoding_seconds"]
    trained = tokens * whole["epochs"]
    tuned_decode = max(value for name, value in rates.items() if name.startswith("decode.") and name != "decode.ours")
    published = trained / rates["train.published"] + tokens / rates["decode.published.128"]
    tuned = trained / max(rates["train.tuned"], rates["train.published"]) + tokens / tuned_decode
    flops_per_token = found["training_tflops"] * 1e12 / rates["train.ours"]
    achieved = flops_per_token * trained / whole["training_seconds"] / 1e12
    return {
        "seconds": seconds,
        "seconds_at_published_rates": published,
        "seconds_at_tuned_rates": tuned,
        "ratio_to_published": published / seconds,
        "ratio_to_tuned": tuned / seconds,
        "training_tflops": achieved,
        "training_mfu": achieved / peak_tflops if peak_tflops else None,
    }


def decoding_bytes(model: Any, prompts: int) -> int:
    """Least traffic of the beams: keys and values of prompt and own past read once a step, logits written and read."""
    config = model.config
    per_slot = 2 * config.num_hidden_layers * config.hidden_size * 2  # keys and values, bf16
    slots = sum(LENGTH + min(BEAMS * step, BEAMS * 16 + step) for step in range(1, LENGTH))
    return prompts * (slots * per_slot + LENGTH * BEAMS * config.vocab_size * 2 * 2)


def copy_bandwidth() -> float:
    """Bytes read and written per second by a large copy on the device."""
    source = torch.empty(1 << 32, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = min(timed(lambda: target.copy_(source), "cuda")[0] for _ in range(5))
    return 2 * source.numel() / seconds


def report(
    model: Any,
    rates: dict[str, float],
    tokens: dict[str, torch.Tensor],
    memory: dict[str, int],
    args: argparse.Namespace,
) -> dict[str, Any]:
    # What multiplies a token: every matrix, the tied embedding once as the output layer, but no position table.
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed_positions" not in name)
    tuned_decode = max(value for name, value in rates.items() if name.startswith("decode.") and name != "decode.ours")
    tuned_train = max(rates.get("train.tuned", 0.0), rates["train.published"])
    train_flops = 6 * matrices * rates["train.ours"]
    per_token = {
        "ours": 1 / rates["train.ours"] + 1 / rates["decode.ours"],
        "published": 1 / rates["train.published"] + 1 / rates["decode.published.128"],
        "tuned": 1 / tuned_train + 1 / tuned_decode,
    }
    same = tokens["decode.published.128"]
    return {
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu, one thread",
        "model": "OPT-125m shape, random weights" if args.device == "cuda" else "OPT, from scratch",
        "parameters": sum(p.numel() for p in model.parameters()),
        "blocks": args.blocks,
        "beams": BEAMS,
        "tokens_per_second": rates,
        "training_tflops": train_flops / 1e12,
        "training_mfu": train_flops / 1e12 / args.peak_tflops if args.peak_tflops else None,
        "peak_memory_bytes": memory,
        "microseconds_per_token_and_epoch": {name: 1e6 * value for name, value in per_token.items()},
        "ratios": {
            "decoding_to_published": rates["decode.ours"] / rates["decode.published.128"],
            "decoding_to_tuned": rates["decode.ours"] / tuned_decode,
            "training_to_published": rates["train.ours"] / rates["train.published"],
            "training_to_tuned": rates["train.ours"] / tuned_train,
            "generation_to_published": per_token["published"] / per_token["ours"],
            "generation_to_tuned": per_token["tuned"] / per_token["ours"],
            "generation_of_5_epochs_to_published": (5 / rates["train.published"] + 1 / rates["decode.published.128"])
            / (5 / rates["train.ours"] + 1 / rates["decode.ours"]),
            "generation_of_5_epochs_to_tuned": (5 / tuned_train + 1 / tuned_decode)
            / (5 / rates["train.ours"] + 1 / rates["decode.ours"]),
        },
        "same_tokens_as_published": float((tokens["decode.ours"][: len(same)] == same).all(1).float().mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, help="default: 256 on a CPU, 8192 on a GPU")
    parser.add_argument("--generation-blocks", type=int, default=37_950, help="of the whole generation, on a GPU")
    parser.add_argument("--peak-tflops", type=float, help="the device's dense bf16 peak, for MFU")
    args = parser.parse_args()
    args.blocks = args.blocks or (8192 if args.device == "cuda" else 256)
    transformers.utils.logging.set_verbosity_error()
    if args.device == "cpu":
        torch.set_num_threads(1)
    found = measure(args)
    path = write_result("lm" if args.device == "cpu" else "lm_cuda", {**found, "machine": machine()})
    print(json.dumps(found["ratios"], indent=1), path)


if __name__ == "__main__":
    main()
