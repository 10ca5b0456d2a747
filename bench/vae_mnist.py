"""The published VAE table: a new VAE per generation, trained on endless samples of the one before; 5 generations.

Reports the standard deviation of the generation-0 encoder's means over 100 images of each generation, as the notebook
of Shumailov et al. does, and over 10,000 images, which takes the sampling noise out. Resumes where it was killed.

    PROVENANCE_BENCH_DATA=../shared/data python bench/vae_mnist.py --seed 0 --state FOLDER
"""

import argparse
import json
import logging
import os
import time
from pathlib import Path

import torch

from provenance.recursion.models.images import read_idx
from provenance.recursion.models.vae import Vae
from provenance.recursion.training import TrainingSettings, read_safetensors, seeded, train, write_safetensors
from provenance.seeds import integer

SETTINGS = TrainingSettings(
    epochs=30, batch_size=256, learning_rate=1e-3, weight_decay=1e-5, optimizer="adam", loss_over_batch="sum"
)


def new_vae(seed: int, generation: int) -> Vae:
    with seeded(torch.device("cpu"), integer(seed, "init", generation)):
        return Vae(height=28, width=28).to(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--generations", type=int, default=6, help="the real-data VAE and the synthetic ones after it")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.state.mkdir(parents=True, exist_ok=True)
    images = read_idx(Path(os.environ["PROVENANCE_BENCH_DATA"]) / "mnist" / "train-images-idx3-ubyte.gz")
    real = torch.tensor(images, dtype=torch.float32).div(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)
    previous: Vae | None = None
    for generation in range(args.generations):
        final = args.state / f"vae-{args.seed}-{generation}.safetensors"
        vae = new_vae(args.seed, generation)
        if final.exists():
            tensors, _ = read_safetensors(final)
            vae.load_state_dict(tensors)
            previous = vae
            continue
        source = previous

        def item_losses(items: torch.Tensor, vae: Vae = vae, source: Vae | None = source) -> torch.Tensor:
            if source is None:
                return vae.losses(real[items])
            with torch.no_grad():
                batch = source.sample(len(items))
            return vae.losses(batch)

        started, cpu = time.perf_counter(), time.process_time()
        partial = args.state / f"partial-{args.seed}-{generation}.safetensors"
        progress = train(
            vae,
            item_losses,
            len(real),
            SETTINGS,
            seed=integer(args.seed, "train", generation),
            what=f"generation {generation}",
            checkpoint=partial,
        )
        facts = {
            "epoch_losses": progress.epoch_losses,
            "seconds_since_resume": time.perf_counter() - started,
            "cpu_seconds_since_resume": time.process_time() - cpu,
        }
        write_safetensors(final, dict(vae.state_dict()), {"facts": json.dumps(facts)})
        partial.unlink(missing_ok=True)
        previous = vae


if __name__ == "__main__":
    main()
