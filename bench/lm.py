"""How fast a generation of the causal language model world is, beside transformers' Trainer and generate.

Usage: python bench/lm.py [--device cpu|cuda] [--repeats 3] [--blocks N] [--peak-tflops 989]
One generation is an epoch of training on N blocks of 64 tokens and a continuation of each block by 64 tokens found
with five beams. `published` is transformers as the released code uses it: fp32, batches of 128, five beams. `tuned` is
the same in bf16 on a GPU, with the best of several batch sizes for decoding. Repeats alternate, the best of each
counts; a CPU is timed in process CPU seconds, a GPU in seconds after a synchronisation. On a CPU the model is an OPT
of about a million parameters trained for an epoch on the speeches that ship; on a GPU it has OPT-125m's shape, random
weights and random tokens: a shape, not that model.
"""

import argparse
import copy
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
from provenance.recursion.training import TrainingSettings, train
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


def train_ours(model: Any, items: torch.Tensor, precision: str) -> None:
    on_device = items.to(model.device)
    settings = TrainingSettings(epochs=1, batch_size=128, learning_rate=2e-5, precision=precision)
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
    ways: dict[str, Callable[[], Any]] = {
        "train.ours": lambda: train_ours(model, items, "bf16" if cuda else "fp32"),
        "train.published": lambda: train_theirs(model, items, bf16=False),
        "decode.ours": lambda: decode_ours(writer, items),
        "decode.published.128": lambda: decode_theirs(model.eval(), items, 128),
    }
    for size in (512, 1024) if cuda else (16, 32, 64):
        ways[f"decode.tuned.{size}"] = lambda size=size: decode_theirs(writer, items, size)
    if cuda:
        ways["train.tuned"] = lambda: train_theirs(model, items, bf16=True)
    seconds: dict[str, float] = {}
    tokens: dict[str, torch.Tensor] = {}
    memory: dict[str, int] = {}
    for repeat in range(args.repeats):
        for name, work in ways.items():
            model.load_state_dict(state)
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            took, result = timed(work, args.device)
            seconds[name] = min(took, seconds.get(name, took))
            if cuda:
                memory[name] = torch.cuda.max_memory_allocated()
            if result is not None:
                tokens[name] = result
            print(f"repeat {repeat} {name}: {took:.2f} s", flush=True)
    return report(model, items, seconds, tokens, memory, args)


def report(
    model: Any,
    items: torch.Tensor,
    seconds: dict[str, float],
    tokens: dict[str, torch.Tensor],
    memory: dict[str, int],
    args: argparse.Namespace,
) -> dict[str, Any]:
    n_tokens = items.numel()
    # What multiplies a token: every matrix, the tied embedding once as the output layer, but no position table.
    matrices = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed_positions" not in name)
    tuned_decode = min(value for name, value in seconds.items() if name.startswith("decode.tuned"))
    tuned_decode = min(tuned_decode, seconds["decode.published.128"])
    tuned_train = seconds.get("train.tuned", seconds["train.published"])
    train_flops = 6 * matrices * n_tokens / seconds["train.ours"]
    return {
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu, one thread",
        "model": "OPT-125m shape, random weights" if args.device == "cuda" else "OPT, from scratch",
        "parameters": sum(p.numel() for p in model.parameters()),
        "blocks": len(items),
        "tokens": n_tokens,
        "beams": BEAMS,
        "seconds": seconds,
        "tokens_per_second": {name: n_tokens / value for name, value in seconds.items()},
        "training_tflops": train_flops / 1e12,
        "training_mfu": train_flops / 1e12 / args.peak_tflops if args.peak_tflops else None,
        "peak_memory_bytes": memory,
        "seconds_per_generation": {
            "ours": seconds["train.ours"] + seconds["decode.ours"],
            "published": seconds["train.published"] + seconds["decode.published.128"],
            "tuned": tuned_train + tuned_decode,
        },
        "ratios": {
            "decoding_to_published": seconds["decode.published.128"] / seconds["decode.ours"],
            "decoding_to_tuned": tuned_decode / seconds["decode.ours"],
            "training_to_published": seconds["train.published"] / seconds["train.ours"],
            "generation_to_published": (seconds["train.published"] + seconds["decode.published.128"])
            / (seconds["train.ours"] + seconds["decode.ours"]),
            "generation_to_tuned": (tuned_train + tuned_decode) / (seconds["train.ours"] + seconds["decode.ours"]),
        },
        "same_tokens_as_published": float(
            (tokens["decode.ours"] == tokens["decode.published.128"]).all(1).float().mean()
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, help="default: 256 on a CPU, 16384 on a GPU")
    parser.add_argument("--peak-tflops", type=float, help="the device's dense bf16 peak, for MFU")
    args = parser.parse_args()
    args.blocks = args.blocks or (16384 if args.device == "cuda" else 256)
    transformers.utils.logging.set_verbosity_error()
    if args.device == "cpu":
        torch.set_num_threads(1)
    found = measure(args)
    path = write_result("lm" if args.device == "cpu" else "lm_cuda", {**found, "machine": machine()})
    print(json.dumps(found["ratios"], indent=1), path)


if __name__ == "__main__":
    main()
