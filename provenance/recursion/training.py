"""The training loop of every neural model: batches from named streams, safetensors checkpoints, exact resume.

It knows a module and a loss over item numbers; nothing of worlds, texts, images, pools or policies. A batch depends on
(seed, epoch) alone and the noise of a step on (seed, step) alone, so a resumed run needs no random state: on a CPU it
ends with the same bytes. Under `torchrun` every rank takes its part of each batch and gradients are summed.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from provenance.errors import DataError, ProvenanceError
from provenance.recursion.training_ranks import rank
from provenance.recursion.training_settings import TrainingSettings, learning_rate_at
from provenance.recursion.training_step import Step
from provenance.seeds import integer, stream

logger = logging.getLogger(__name__)

CHECK_EVERY_STEPS = 50
"""How often the loss is read back to look for NaN: each read waits for the device."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; what a checkpoint remembers beside the weights."""

    step: int = 0
    epoch_losses: tuple[float, ...] = ()
    """Mean loss per item of each finished epoch."""
    running_loss: float = 0.0
    """Sum of item losses in the epoch under way."""
    best_epoch: int = -1
    best_validation: float = math.inf


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's own random numbers, seeded within the block and put back after it."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def train(
    module: nn.Module,
    item_losses: Callable[[Tensor], Tensor],
    n_items: int,
    settings: TrainingSettings,
    *,
    seed: int,
    what: str,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 120.0,
    validate: Callable[[], float] | None = None,
) -> Progress:
    """Train `module` in place on items 0 … n_items − 1.

    `item_losses` takes item numbers (int64 on the module's device) and returns one loss per item. `what` names the run
    in errors and logs ("generation 3 of run …"). With `validate` (lower is better) the module ends with the weights
    of its best epoch. With `checkpoint` a killed run goes on where it was; the file goes when the training is done.

    Raises DataError on no items, ProvenanceError when the loss is no longer a number.
    """
    if n_items < 1:
        raise DataError(f"{what}: there is nothing to train on", hint="the pool is empty after mixing and packing")
    device = next(module.parameters()).device
    steps_per_epoch = -(-n_items // settings.batch_size)
    step_over = Step(module, settings, item_losses)
    state = _State(module, step_over.optimizer, settings, n_items, seed, what)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint)
    running = torch.tensor(state.progress.running_loss, dtype=torch.float64, device=device)
    saved_at = time.monotonic()
    module.train()
    with seeded(device, 0):
        for step in range(state.progress.step, steps_per_epoch * settings.epochs):
            epoch, batch_no = divmod(step, steps_per_epoch)
            if batch_no == 0 or step == state.progress.step:
                order = torch.from_numpy(stream(seed, "order", epoch).permutation(n_items)).to(device)
            batch = order[batch_no * settings.batch_size : (batch_no + 1) * settings.batch_size]
            running += step_over(
                batch,
                learning_rate=learning_rate_at(settings, step, steps_per_epoch),
                noise_seed=integer(seed, "noise", step),
            )
            epoch_ends = batch_no + 1 == steps_per_epoch
            save = checkpoint is not None and time.monotonic() - saved_at >= checkpoint_every_s
            state.progress = replace(state.progress, step=step + 1)
            if not (epoch_ends or save or step % CHECK_EVERY_STEPS == 0):
                continue
            state.check(float(running), steps_per_epoch)
            if epoch_ends:
                state.end_epoch(epoch, validate)
                running.zero_()
            if save and checkpoint is not None and rank() == 0:
                state.save(checkpoint)
                saved_at = time.monotonic()
    state.finish()
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    module.eval()
    return state.progress


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers, each storage once: tied weights appear under their first name."""
    kept = set(module.state_dict())
    tensors = {name: p.data for name, p in module.named_parameters()}
    return tensors | {name: b for name, b in module.named_buffers() if name in kept}


def assign(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy what `tensors` gave of an equal module into this one."""
    for name, tensor in tensors(module).items():
        tensor.copy_(values[name])


def write_safetensors(path: Path, arrays: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write all or nothing: a temporary name, fsync, rename. Raises ProvenanceError when the disk refuses."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        save_file({name: t.detach().contiguous().cpu() for name, t in arrays.items()}, temporary, metadata)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise ProvenanceError(
            f"cannot write {path.name}: {error}", hint="free some disk space; the last complete state is kept"
        ) from error


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_safetensors` wrote. Raises DataError on a missing or damaged file."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot read {path.name}: {error}", hint="remove the file to start again") from error


class _State:
    """Everything a run is made of, and how it is put away and taken up again."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: TrainingSettings,
        n_items: int,
        seed: int,
        what: str,
    ) -> None:
        self.module, self.optimizer, self.settings = module, optimizer, settings
        self.progress = Progress()
        self._best: dict[str, Tensor] = {}
        self._n_items, self._what = n_items, what
        self._fingerprint = json.dumps([settings.model_dump(), n_items, seed], sort_keys=True)

    def check(self, running_loss: float, steps_per_epoch: int) -> None:
        """Take note of the loss. Raises ProvenanceError when it is not a number any more."""
        self.progress = replace(self.progress, running_loss=running_loss)
        if not math.isfinite(running_loss):
            epoch = 1 + (self.progress.step - 1) // steps_per_epoch
            raise ProvenanceError(
                f"{self._what}: the loss is {running_loss} at step {self.progress.step} (epoch {epoch})",
                hint="lower learning_rate or set gradient_clip; finished generations are kept",
            )

    def end_epoch(self, epoch: int, validate: Callable[[], float] | None) -> None:
        """Close an epoch's books, and keep the weights if they are the best so far."""
        loss = self.progress.running_loss / self._n_items
        losses = (*self.progress.epoch_losses, loss)
        self.progress = replace(self.progress, epoch_losses=losses, running_loss=0.0)
        logger.info("%s: epoch %d of %d, loss %.4f", self._what, epoch + 1, self.settings.epochs, loss)
        if validate is None:
            return
        self.module.eval()
        with torch.no_grad():
            value = validate()
        self.module.train()
        if value < self.progress.best_validation:
            self.progress = replace(self.progress, best_epoch=epoch, best_validation=value)
            self._best = {name: tensor.detach().clone() for name, tensor in tensors(self.module).items()}

    def finish(self) -> None:
        """Put the best epoch's weights in place, where there was a validation."""
        if self._best:
            assign(self.module, self._best)

    def save(self, path: Path) -> None:
        """Write a checkpoint in place of the last one."""
        stored = {f"model.{name}": t for name, t in tensors(self.module).items()}
        stored |= {f"best.{name}": t for name, t in self._best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            stored |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
        meta = {"progress": json.dumps(asdict(self.progress)), "fingerprint": self._fingerprint}
        write_safetensors(path, stored, meta)

    def load(self, path: Path) -> None:
        """Take up where `save` left off. Raises DataError when the file is damaged or another run's."""
        stored, meta = read_safetensors(path)
        if meta.get("fingerprint") != self._fingerprint:
            raise DataError(f"{path.name} belongs to another training run", hint="remove it to start again")
        device = next(self.module.parameters()).device
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for name, tensor in stored.items():
            kind, _, rest = name.partition(".")
            groups[kind][rest] = tensor if kind == "optimizer" else tensor.to(device)
        assign(self.module, groups["model"])
        self._best = groups["best"]
        values: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimizer"].items():
            index, _, key = name.partition(".")
            values.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": values})
        raw = json.loads(meta["progress"])
        self.progress = Progress(**raw | {"epoch_losses": tuple(raw["epoch_losses"])})
        logger.info("%s: resumed at step %d", self._what, self.progress.step)
