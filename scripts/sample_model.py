"""The model's part of the sample: a GGUF made loadable, prompts answered in batches. Knows no corpus and no split."""

import json
import time
from pathlib import Path
from typing import Any

from sample_text import SEED

from provenance.seeds import integer, stream

BATCH, TOP_K, TOP_P, TEMPERATURES, NEW_TOKENS = 64, 256, 0.95, (0.8, 0.9, 1.0), (100, 181)
NUM_BATCHES = 16
"""Enough for some nine hundred texts."""


def convert(gguf: Path, model: Path) -> None:
    """Write the GGUF as a folder transformers loads: tokenizer from the GGUF's own tables, weights in fp16."""
    import torch
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoModelForCausalLM

    fields = GGUFReader(gguf).fields
    tokens, merges, kinds = (fields[f"tokenizer.ggml.{n}"].contents() for n in ("tokens", "merges", "token_type"))
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, kinds, strict=True) if k == 3]
    tokenizer.add_special_tokens(control)
    model.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(model / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
              "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>", "model_max_length": 8192,
              "clean_up_tokenization_spaces": False}  # fmt: skip
    (model / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model that remembers its GGUF refuses to be saved; a fresh one with the same weights does not.
    del loaded.config.quantization_config
    fresh = AutoModelForCausalLM.from_config(loaded.config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.to(torch.float16).save_pretrained(model)


def sample_batch(
    model: Any, tokenizer: Any, prompts: list[str], *, seed: int, new_tokens: int
) -> tuple[list[str], int]:
    """Continuations of `prompts` and the number of tokens drawn; finished rows leave the batch.

    Sampling among the 256 likeliest tokens instead of all 49k saves two thirds of the time: the full sort is what
    `generate` spends it on.
    """
    import torch

    rng = torch.Generator().manual_seed(seed)
    encoded = tokenizer(prompts, return_tensors="pt", padding=True)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]  # (B, T), padded on the left
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    temperature = torch.tensor([TEMPERATURES[i % 3] for i in range(len(prompts))])
    control = torch.tensor(sorted(tokenizer.added_tokens_decoder))
    rows, cache, drawn = torch.arange(len(prompts)), None, 0
    out: list[list[int]] = [[] for _ in prompts]
    for _ in range(new_tokens):
        step = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position,
            cache=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = step.cache
        values, indices = torch.topk(step.logits[:, -1] / temperature[:, None], TOP_K)
        p = values.softmax(-1)
        p = p * (p.cumsum(-1) - p < TOP_P)
        ids = indices.gather(1, torch.multinomial(p, 1, generator=rng))
        drawn += len(rows)
        alive = ~torch.isin(ids[:, 0], control)
        for row, token, go in zip(rows.tolist(), ids[:, 0].tolist(), alive.tolist(), strict=True):
            if go:
                out[row].append(token)
        if not alive.any():
            break
        if not alive.all():
            keep = alive.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            ids, mask, position, temperature, rows = (
                ids[keep],
                mask[keep],
                position[keep],
                temperature[keep],
                rows[keep],
            )
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        position = position[:, -1:] + 1
    return tokenizer.batch_decode(out), drawn


def answer(jobs: list[dict[str, Any]], model_dir: Path, work: Path) -> None:
    """Let the model answer the prompts; a batch is a file, written whole, and is not made twice."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(model_dir, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    # Prompts of like length go together: less padding. Which batches are run is drawn.
    jobs = sorted(jobs, key=lambda j: (j["prompt_id"].endswith("instruct"), len(j["prompt"]), j["prompt_id"]))
    batches = [jobs[i : i + BATCH] for i in range(0, len(jobs), BATCH)]
    for n in stream(SEED, "batches").permutation(len(batches))[:NUM_BATCHES]:
        target = work / f"batch-{n:03d}.json"
        if target.exists():
            continue
        new_tokens = int(stream(SEED, "length", int(n)).integers(*NEW_TOKENS))
        began, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            texts, drawn = sample_batch(
                model,
                tokenizer,
                [j["prompt"] for j in batches[n]],
                seed=integer(SEED, "sample", int(n)),
                new_tokens=new_tokens,
            )
        rows = [
            {**job, "text": text, "temperature": TEMPERATURES[i % 3], "max_new_tokens": new_tokens}
            for i, (job, text) in enumerate(zip(batches[n], texts, strict=True))
        ]
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        record = {"tokens": drawn, "seconds": seconds, "cpu_seconds": cpu, "rows": rows}
        part = target.with_suffix(".part")
        part.write_text(json.dumps(record), encoding="utf-8")
        part.rename(target)
        print(f"batch {n}: {drawn} tokens, {drawn / seconds:.0f}/s, {drawn / cpu:.0f} per CPU second", flush=True)
