"""The processes of a `torchrun`: rank 0 runs the experiment, the others help it to train. Knows no world by name.

Rank 0 sends every training set, and the state of the random stream that goes with it, to the others; they fit the same
model, each on its part of every batch (`training_step` sums the gradients), and drop it. All else is done by rank 0.
"""

import atexit
import io
import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from provenance.errors import ConfigError
from provenance.plugins import Arrays, Part

_PATIENCE = timedelta(days=7)
"""How long helpers wait for the next training set: writing and scoring a generation come between."""
_HEADER = "header"


def rank() -> int:
    """This process's number under `torchrun`, else 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def join() -> None:
    """Meet the other processes; each takes the CUDA device of its number. Raises ConfigError where there is none."""
    if distributed.is_initialized():
        return
    devices = torch.cuda.device_count()
    if devices:
        mine = int(os.environ.get("LOCAL_RANK", "0"))
        if mine >= devices:
            raise ConfigError(
                f"there is no CUDA device for process {mine + 1} of this machine, there are {devices}",
                hint=f"torchrun --nproc-per-node {devices}",
            )
        torch.cuda.set_device(mine)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if devices else "gloo", timeout=_PATIENCE)
    atexit.register(distributed.destroy_process_group)


class Leader:
    """A world whose `fit` has the other processes train along."""

    def __init__(self, world: Any) -> None:
        join()
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def fit(self, parts: Sequence[Part], rng: np.random.Generator) -> Any:
        """The world's own `fit`, by all processes together."""
        _send(json.dumps(rng.bit_generator.state), parts)
        return self._world.fit(parts, rng)

    def end(self) -> None:
        """Let the others go."""
        _send("", ())


def follow(world: Any) -> None:
    """Fit what the leader fits until it ends."""
    join()
    while (work := _received()) is not None:
        world.fit(*work)


def _send(stream: str, parts: Sequence[Part]) -> None:
    arrays: Arrays = {_HEADER: np.array([stream, str(len(parts))])}
    for number, part in enumerate(parts):
        arrays[f"{number}"] = np.asarray(part.weight)
        arrays |= {f"{number}:{name}": array for name, array in part.batch.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    content = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)
    distributed.broadcast(torch.tensor([len(content)]), 0)
    distributed.broadcast(content, 0)


def _received() -> tuple[list[Part], np.random.Generator] | None:
    """The next training set and its random stream; None when there is no more."""
    size = torch.zeros(1, dtype=torch.int64)
    distributed.broadcast(size, 0)
    content: Tensor = torch.empty(int(size), dtype=torch.uint8)
    distributed.broadcast(content, 0)
    with np.load(io.BytesIO(content.numpy().tobytes()), allow_pickle=False) as arrays:
        stream, count = arrays[_HEADER].tolist()
        if not stream:
            return None
        parts = []
        for number in range(int(count)):
            names = [name for name in arrays.files if name.startswith(f"{number}:")]
            weight = arrays[f"{number}"]
            parts.append(
                Part(
                    batch={name.partition(":")[2]: arrays[name] for name in names},
                    weight=float(weight) if weight.ndim == 0 else weight,
                )
            )
    state = json.loads(stream)
    generator = getattr(np.random, state["bit_generator"])()
    generator.state = state
    return parts, np.random.Generator(generator)
