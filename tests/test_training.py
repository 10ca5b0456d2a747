"""The training loop: resume after a kill, accumulation, schedules, and what it says when things go wrong."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from provenance.errors import DataError, ProvenanceError  # noqa: E402
from provenance.recursion.training import read_safetensors, seeded, train, write_safetensors  # noqa: E402
from provenance.recursion.training_settings import TrainingSettings, learning_rate_at  # noqa: E402

torch.set_num_threads(1)


def scenario(folder: Path, die_at: int) -> None:
    """A training with dropout, momentum, a schedule and a validation; kills its process at the given loss."""
    with seeded(torch.device("cpu"), 1):
        module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 1))
        x = torch.randn(23, 3)
    seen = 0

    def item_losses(items: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return (module(x[items]).squeeze(1) - x[items].sum(1)) ** 2

    def validate() -> float:
        return float((module(x).squeeze(1) - x.sum(1)).abs().mean())

    settings = TrainingSettings(epochs=4, batch_size=5, learning_rate=0.01, schedule="cosine", weight_decay=0.1)
    train(
        module, item_losses, 23, settings, seed=7, what="test", validate=validate,
        checkpoint=folder / "state.safetensors", checkpoint_every_s=0,
    )  # fmt: skip
    write_safetensors(folder / "done.safetensors", module.state_dict(), {})


def test_a_killed_run_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    process = subprocess.run([sys.executable, __file__, str(killed), "8"], check=False)
    assert process.returncode == -signal.SIGKILL
    assert [file.name for file in killed.iterdir()] == ["state.safetensors"]
    scenario(killed, die_at=0)
    scenario(whole, die_at=0)
    assert [file.name for file in killed.iterdir()] == ["done.safetensors"]
    assert (killed / "done.safetensors").read_bytes() == (whole / "done.safetensors").read_bytes()


def linear(seed: int = 0) -> tuple[Any, Any, Any]:
    with seeded(torch.device("cpu"), seed):
        module, x = nn.Linear(2, 1), torch.randn(40, 2)
    y = x @ torch.tensor([[2.0], [-3.0]]) + 1

    def item_losses(items: Any) -> Any:
        return ((module(x[items]) - y[items]) ** 2).squeeze(1)

    return module, item_losses, x


def test_it_finds_the_line_the_points_lie_on() -> None:
    module, item_losses, _ = linear()
    progress = train(
        module, item_losses, 40, TrainingSettings(epochs=60, batch_size=8, learning_rate=0.05), seed=1, what="line"
    )
    assert module.weight.detach().flatten().tolist() == pytest.approx([2, -3], abs=1e-2)
    assert module.bias.item() == pytest.approx(1, abs=1e-2)
    assert len(progress.epoch_losses) == 60
    assert progress.step == 300


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_micro_batches_give_the_gradient_of_the_whole_batch(reduction: str) -> None:
    found = []
    for micro in (0, 3):
        module, item_losses, _ = linear()
        settings = TrainingSettings(epochs=2, batch_size=8, micro_batch_size=micro, loss_over_batch=reduction)
        train(module, item_losses, 40, settings, seed=1, what="line")
        found.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert torch.allclose(*found, atol=1e-6)


class Layered(nn.Module):
    """Equal layers, as a transformer has."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4))
        self.last = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.last(x).squeeze(1)


def layered(device: Any, *, compiled: bool, micro: int = 0) -> tuple[Any, tuple[float, ...]]:
    """Parameters and losses after five epochs of batches of 16, the last of them 6 long."""
    with seeded(device, 1):
        module, x = Layered().to(device), torch.randn(70, 8, device=device)
    settings = TrainingSettings(
        epochs=5, batch_size=16, micro_batch_size=micro, learning_rate=0.01, schedule="linear", gradient_clip=1.0,
        weight_decay=0.1, compile=compiled,
    )  # fmt: skip
    progress = train(module, lambda rows: (module(x[rows]) - x[rows].sum(1)) ** 2, 70, settings, seed=3, what="t")
    return torch.cat([p.detach().flatten() for p in module.parameters()]), progress.epoch_losses


@pytest.mark.gpu
@pytest.mark.parametrize("micro", [0, 4])
def test_steps_replayed_as_a_graph_train_like_plain_ones_and_repeat_their_bytes(micro: int) -> None:
    device = torch.device("cuda")
    plain, losses = layered(device, compiled=False, micro=micro)
    replayed, same_losses = layered(device, compiled=True, micro=micro)
    torch.testing.assert_close(replayed, plain, rtol=1e-3, atol=1e-4)
    assert same_losses == pytest.approx(losses, rel=1e-3)
    assert torch.equal(layered(device, compiled=True, micro=micro)[0], replayed)


def test_torch_random_state_outside_is_left_alone() -> None:
    module, item_losses, _ = linear()
    before = torch.get_rng_state()
    train(module, item_losses, 40, TrainingSettings(batch_size=8), seed=1, what="line")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_epoch_is_kept_where_there_is_a_validation() -> None:
    module, item_losses, _ = linear()
    weights, answers = [], iter([3.0, 1.0, 2.0])

    def validate() -> float:
        weights.append(module.weight.detach().clone())
        return next(answers)

    progress = train(
        module, item_losses, 40, TrainingSettings(epochs=3, batch_size=8), seed=1, what="line", validate=validate
    )
    assert progress.best_epoch == 1
    assert torch.equal(module.weight, weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_a_loss_that_is_not_a_number_names_the_run() -> None:
    module, _, _ = linear()

    def item_losses(items: Any) -> Any:
        return module.weight.sum() * torch.full((len(items),), torch.nan)

    with pytest.raises(ProvenanceError, match=r"generation 3: the loss is nan at step 1 \(epoch 1\)"):
        train(module, item_losses, 40, TrainingSettings(batch_size=8), seed=1, what="generation 3")


def test_nothing_to_train_on_is_an_error() -> None:
    module, item_losses, _ = linear()
    with pytest.raises(DataError, match="generation 2: there is nothing to train on"):
        train(module, item_losses, 0, TrainingSettings(), seed=1, what="generation 2")


def test_another_runs_checkpoint_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    write_safetensors(file, {"model.weight": torch.zeros(1)}, {"fingerprint": "other"})
    module, item_losses, _ = linear()
    with pytest.raises(DataError, match=r"state.safetensors belongs to another training run"):
        train(module, item_losses, 40, TrainingSettings(), seed=1, what="line", checkpoint=file)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match=r"cannot read state.safetensors"):
        train(module, item_losses, 40, TrainingSettings(), seed=1, what="line", checkpoint=file)


@contextmanager
def limited_file_size(limit: int) -> Iterator[None]:
    """Writes beyond `limit` bytes fail as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_does_not_take_a_file_leaves_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    write_safetensors(file, {"a": torch.ones(2)}, {})
    with limited_file_size(4096), pytest.raises(ProvenanceError, match=r"cannot write state.safetensors"):
        write_safetensors(file, {"a": torch.zeros(10_000)}, {})
    assert [kept.name for kept in tmp_path.iterdir()] == ["state.safetensors"]
    assert read_safetensors(file)[0]["a"].tolist() == [1, 1]


def test_learning_rates_follow_their_schedules() -> None:
    def at(schedule: str, step: int) -> float:
        settings = TrainingSettings(
            epochs=5, batch_size=1, learning_rate=2e-5, final_learning_rate=1e-6, schedule=schedule
        )
        return learning_rate_at(settings, step, steps_per_epoch=10)

    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2e-5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=5, eta_min=1e-6)
    for epoch in range(5):
        assert at("cosine", 10 * epoch + 9) == pytest.approx(reference.param_groups[0]["lr"])
        reference.step()
        cosine.step()
    assert at("constant", 49) == 2e-5
    assert [at("linear", step) for step in (0, 25, 50)] == pytest.approx([2e-5, 1.05e-5, 1e-6])


def test_bf16_trains_what_fp32_trains() -> None:
    module, item_losses, _ = linear()
    settings = TrainingSettings(epochs=40, batch_size=8, learning_rate=0.05, precision="bf16")
    train(module, item_losses, 40, settings, seed=1, what="line")
    assert module.weight.dtype == torch.float32
    assert module.weight.detach().flatten().tolist() == pytest.approx([2, -3], abs=0.1)


RANKS = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import torch
from torch import nn
from provenance.recursion.training import TrainingSettings, seeded, train, write_safetensors
torch.distributed.init_process_group("gloo")
torch.set_num_threads(1)
with seeded(torch.device("cpu"), 0):
    module, x = nn.Linear(2, 1), torch.randn(41, 2)
train(module, lambda items: (module(x[items]).squeeze(1) - x[items].sum(1)) ** 2, 41,
      TrainingSettings(epochs=3, batch_size=8), seed=1, what="ranks")
write_safetensors(Path(sys.argv[1]) / f"{torch.distributed.get_rank()}.safetensors", module.state_dict(), {})
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_train_what_one_trains(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    found = []
    for ranks in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        subprocess.run([*command, str(script), str(tmp_path)], check=True, capture_output=True)
        found += [read_safetensors(tmp_path / f"{rank}.safetensors")[0]["weight"] for rank in range(ranks)]
    assert torch.equal(found[1], found[2])
    assert torch.allclose(found[0], found[1], atol=1e-6)


if __name__ == "__main__":
    scenario(Path(sys.argv[1]), die_at=int(sys.argv[2]))
