"""One optimiser step over a batch: as it comes, or on a CUDA device compiled and replayed as one graph.

Knows a module and a loss over item numbers; nothing of epochs, schedules or checkpoints.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from provenance.errors import ProvenanceError
from provenance.recursion.training_ranks import rank, world_size
from provenance.recursion.training_settings import TrainingSettings

STEPS_BEFORE_CAPTURE = 3
"""Steps run as they come first: they compile what is to be compiled and allocate what the optimiser keeps."""


class Step:
    """A module's optimiser and the way its steps are carried out.

    Launching some thousand kernels from Python takes several times as long as running them, so with `compile` on a
    CUDA device full batches are captured once and replayed. A short last batch runs as it comes.
    """

    def __init__(self, module: nn.Module, settings: TrainingSettings, item_losses: Callable[[Tensor], Tensor]) -> None:
        self._module, self._settings, self._losses = module, settings, item_losses
        device = next(module.parameters()).device
        self._replays = settings.compile and device.type == "cuda" and world_size() == 1
        self._layers = _CompiledLayers(_equal_layers(module) if settings.compile else [])
        self._graph: Any = None
        self._full_batches = 0
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer: torch.optim.Optimizer = kind(
            [p for p in module.parameters() if p.requires_grad],
            # A graph reads its learning rate from the device.
            lr=torch.tensor(settings.learning_rate, device=device) if self._replays else settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
            capturable=self._replays,
        )

    def __call__(self, batch: Tensor, *, learning_rate: float, noise_seed: int) -> Tensor:
        """The sum of the batch's item losses before the step, not yet read back from the device."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(learning_rate)
            else:
                group["lr"] = learning_rate
        torch.manual_seed(noise_seed + rank())
        full = len(batch) == self._settings.batch_size
        self._layers.use(full)
        try:
            return self._replayed(batch) if full and self._replays else self._run(batch)
        finally:
            self._layers.use(False)

    def _replayed(self, batch: Tensor) -> Tensor:
        self._full_batches += 1
        if self._full_batches <= STEPS_BEFORE_CAPTURE:
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                total = self._run(batch)
            torch.cuda.current_stream().wait_stream(side)
            return total
        if self._graph is None:
            self._capture(batch)
        self._rows.copy_(batch)
        self._graph.replay()
        return self._total

    def _capture(self, batch: Tensor) -> None:
        """Record a step without running it. Raises ProvenanceError where the module does what a graph cannot.

        There is no going on after that: torch is left recording on that stream.
        """
        graph, self._rows = torch.cuda.CUDAGraph(), batch.clone()
        try:
            with torch.cuda.graph(graph):
                self._total = self._run(self._rows)
        except RuntimeError as error:
            raise ProvenanceError(
                f"no CUDA graph could be made of a training step: {str(error).splitlines()[0]}",
                hint="set compile = false under [model.training]; finished generations are kept",
            ) from error
        self._graph = graph

    def _run(self, batch: Tensor) -> Tensor:
        settings = self._settings
        scale = 1.0 if settings.loss_over_batch == "sum" else 1.0 / len(batch)
        mine = batch[rank() :: world_size()]
        total = torch.zeros((), dtype=torch.float64, device=batch.device)
        self.optimizer.zero_grad(set_to_none=True)
        # Of a last batch smaller than the number of ranks some get nothing, and a transformer takes no empty batch.
        for part in torch.split(mine, settings.micro_batch_size or settings.batch_size) if len(mine) else ():
            with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16"):
                loss = self._losses(part).float().sum()
            (loss * scale).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if world_size() > 1:
            for parameter in self._module.parameters():
                # A rank without a part has no gradient, and must still take part in the sum.
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
            torch.distributed.all_reduce(total)
        if settings.gradient_clip:
            nn.utils.clip_grad_norm_(self._module.parameters(), settings.gradient_clip)
        self.optimizer.step()
        return total


def _equal_layers(module: nn.Module) -> Sequence[nn.Module]:
    """The longest list of layers of one kind in a module."""
    lists = [part for part in module.modules() if isinstance(part, nn.ModuleList) and len({*map(type, part)}) == 1]
    return list(max(lists, key=len, default=[]))


class _CompiledLayers:
    """Layers with the choice of calling them compiled; off until used."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._compiled = []
        for layer in layers:
            layer.compile()
            self._compiled.append((layer, layer._compiled_call_impl))
        self.use(False)

    def use(self, wanted: bool) -> None:
        """Call the layers as compiled from now on, or as they are."""
        for layer, compiled in self._compiled:
            layer._compiled_call_impl = compiled if wanted else None
