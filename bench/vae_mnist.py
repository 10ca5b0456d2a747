"""The published VAE table: a new VAE per generation, trained on endless samples of the one before; 5 generations.

Reports the standard deviation of the first VAE's encoder means over 100 images of each later VAE, as the notebook of
Shumailov et al. does, over 10,000 images, which takes the sampling noise out, and over each 100 of those, which shows
it. Resumes where it was killed, and writes its result after every generation, so a run that is cut short says how far
it came.

    PROVENANCE_BENCH_DATA=../shared/data python bench/vae_mnist.py --state FOLDER [--seed 0] [--epochs 30]
"""

import argparse
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine, write_result

from provenance.recursion.models.images import load_images
from provenance.recursion.models.vae import Vae
from provenance.recursion.training import read_safetensors, seeded, train, write_safetensors
from provenance.recursion.training_settings import TrainingSettings
from provenance.seeds import integer

PUBLISHED = {  # five runs, from the released notebook
    1: [0.6995, 0.6953, 0.6923, 0.6784, 0.6736],
    2: [0.6013, 0.5937, 0.6091, 0.6050, 0.6076],
    3: [0.5541, 0.5296, 0.5336, 0.5235, 0.5273],
    4: [0.4893, 0.4843, 0.4892, 0.4830, 0.4681],
    5: [0.4665, 0.4310, 0.4583, 0.4280, 0.4329],
}
"""By our count of generations, where 0 is the VAE of real images."""


def new_vae(seed: int, generation: int) -> Vae:
    with seeded(torch.device("cpu"), integer(seed, "init", generation)):
        return Vae(height=28, width=28, channels=64, latent=20).to(memory_format=torch.channels_last)


def fit(vae: Vae, source: Vae | None, real: torch.Tensor, generation: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one VAE on real images, or on samples of `source` drawn afresh for every batch."""

    def item_losses(items: torch.Tensor) -> torch.Tensor:
        if source is None:
            return vae.losses(real[items])
        with torch.no_grad():
            batch = source.sample(len(items))
        return vae.losses(batch)

    settings = TrainingSettings(
        epochs=args.epochs,
        batch_size=256,
        learning_rate=1e-3,
        weight_decay=1e-5,
        optimizer="adam",
        loss_over_batch="sum",
    )
    started = time.process_time()
    progress = train(
        vae, item_losses, len(real), settings, seed=integer(args.seed, "train", generation),
        what=f"generation {generation}", checkpoint=args.state / f"partial-{args.seed}-{generation}.safetensors",
    )  # fmt: skip
    return {
        "epoch_losses_nats_per_image": progress.epoch_losses,
        "cpu_seconds_since_last_resume": time.process_time() - started,
    }


@torch.no_grad()
def spread(first: Vae, vae: Vae, generation: int, seed: int) -> dict[str, Any]:
    """Standard deviation of the first encoder's means over samples and all latent dimensions."""

    def means(n: int) -> torch.Tensor:
        with seeded(torch.device("cpu"), integer(seed, "look", generation, n)):
            return torch.cat([first.encode(vae.sample(min(1000, n - start)))[0] for start in range(0, n, 1000)])

    many = means(10_000)
    hundreds = torch.stack([part.std(correction=0) for part in many.split(100)])
    return {
        "latent_sd_100": float(means(100).std(correction=0)),
        "latent_sd_10000": float(many.std(correction=0)),
        "latent_sd_100_drawn_100_times": {"mean": float(hundreds.mean()), "sd": float(hundreds.std())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30, help="the notebook's 30; fewer is another experiment")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--generations", type=int, default=5)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.state.mkdir(parents=True, exist_ok=True)
    images = load_images(str(Path(os.environ["PROVENANCE_BENCH_DATA"]) / "mnist")).images
    real = torch.tensor(images, dtype=torch.float32).div(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)
    chain: list[Vae] = []
    rows: list[dict[str, Any]] = []
    for generation in range(args.generations + 1):
        final = args.state / f"vae-{args.seed}-{generation}.safetensors"
        vae = new_vae(args.seed, generation)
        if not final.exists():
            facts = fit(vae, chain[-1] if chain else None, real, generation, args)
            write_safetensors(final, vae.state_dict(), {"facts": json.dumps(facts)})
        tensors, meta = read_safetensors(final)
        vae.load_state_dict(tensors)
        chain.append(vae.eval())
        rows.append(
            {
                "generation": generation,
                "trained_on": "real images" if generation == 0 else f"samples of generation {generation - 1}",
                **spread(chain[0], vae, generation, args.seed),
                "published_latent_sd_100": PUBLISHED.get(generation),
                **json.loads(meta["facts"]),
            }
        )
        logging.info("generation %d: %s", generation, rows[-1])
        result = {
            "epochs": args.epochs,
            "published_epochs": 30,
            "seed": args.seed,
            "parameters": sum(p.numel() for p in vae.parameters()),
            "generations_asked_for": args.generations,
            "rows": rows,
            "machine": machine(),
        }
        write_result("vae_mnist", result)


if __name__ == "__main__":
    main()
