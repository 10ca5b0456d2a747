"""The Triton kernels against plain torch, on a CUDA device; with TRITON_INTERPRET=1 on any machine that has Triton."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
transformers = pytest.importorskip("transformers")

from torch.nn import functional  # noqa: E402

from provenance.recursion import fused  # noqa: E402
from provenance.recursion.decoding import Decoding, Request, generate  # noqa: E402
from provenance.recursion.models import blocks  # noqa: E402

pytestmark = pytest.mark.gpu
PRECISIONS = [torch.float32, torch.bfloat16]


@pytest.fixture(scope="module")
def device() -> Any:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return torch.device("cpu")
    pytest.skip("neither a CUDA device nor TRITON_INTERPRET=1")


@pytest.fixture
def kernels(device: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from provenance.recursion import kernels

    for module in (blocks, __import__("provenance.recursion.decoding.beams", fromlist=["_"]),
                   __import__("provenance.recursion.decoding.slots", fromlist=["_"])):  # fmt: skip
        monkeypatch.setattr(module, "kernels_for", lambda _device: kernels)
    return kernels


def numbers(*shape: int, device: Any, dtype: Any = torch.float32, scale: float = 1.0) -> Any:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * scale).to(device, dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("vocabulary", [61, 1024, 5000])
def test_the_best_tokens_are_those_of_a_stable_sort(kernels: Any, device: Any, vocabulary: int, dtype: Any) -> None:
    logits = numbers(4, 3, vocabulary, device=device, dtype=dtype, scale=4)
    forbidden = int(logits[0, 0].argmax())
    values, tokens, normaliser = kernels.best(logits, 10, forbidden)
    plain = logits.float()
    torch.testing.assert_close(normaliser, plain.logsumexp(-1, keepdim=True))
    plain[..., forbidden] = -torch.inf
    # Rounded to bf16 many logits are equal: the smaller token comes first.
    expected = plain.sort(dim=-1, descending=True, stable=True)
    assert torch.equal(values, expected.values[..., :10])
    assert torch.equal(tokens, expected.indices[..., :10])


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_losses_and_gradients_are_those_of_cross_entropy(kernels: Any, device: Any, dtype: Any) -> None:
    logits = numbers(7, 5000, device=device, dtype=dtype, scale=3).requires_grad_()
    targets = torch.arange(7, device=device) * 700
    weight = torch.linspace(0, 1, 7, device=device)
    losses = kernels.token_losses(logits, targets)
    (losses * weight).sum().backward()
    plain = logits.detach().double().requires_grad_()
    expected = functional.cross_entropy(plain, targets, reduction="none")
    (expected * weight).sum().backward()
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-5)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(logits.grad.double(), plain.grad, rtol=tolerance, atol=1e-7)


@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(4, 4, 16), (9, 3, 64), (6, 2, 24)])
@pytest.mark.parametrize("half", [False, True])
def test_attention_over_slots_is_scaled_dot_product_attention(
    kernels: Any, device: Any, heads: int, kv_heads: int, size: int, half: bool
) -> None:
    # Triton's interpreter multiplies no bf16 matrices.
    dtype = torch.float32 if not half else torch.bfloat16 if device.type == "cuda" else torch.float16
    n, beams, capacity, used = 3, 5, 152, 133
    query = numbers(n, heads, beams, size, device=device, dtype=dtype)
    key = numbers(n, kv_heads, capacity, size, device=device, dtype=dtype)[:, :, :used]
    value = numbers(n, kv_heads, capacity, size, device=device, dtype=dtype, scale=2)[:, :, :used]
    mask = torch.zeros(n, 1, beams, capacity, device=device, dtype=dtype)
    mask[numbers(*mask.shape, device=device) < -0.2] = -torch.inf
    mask[..., 0] = 0
    mask = mask[..., :used]
    found = kernels.attend(query, key, value, mask, 0.3)
    expected = functional.scaled_dot_product_attention(
        query.double(), key.double().repeat_interleave(heads // kv_heads, 1),
        value.double().repeat_interleave(heads // kv_heads, 1), attn_mask=mask.double(), scale=0.3,
    )  # fmt: skip
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.double(), expected.transpose(1, 2), rtol=tolerance, atol=tolerance)


def small(kind: str, device: Any) -> Any:
    shared = {"vocab_size": 61, "max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = (
        transformers.OPTConfig(
            hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=2, ffn_dim=32, num_attention_heads=2,
            init_std=0.4, **shared,
        )
        if kind == "opt"
        else transformers.LlamaConfig(
            hidden_size=64, num_hidden_layers=2, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
            initializer_range=0.4, **shared,
        )
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(device).eval()


@pytest.mark.parametrize("least", [0, 12])
@pytest.mark.parametrize("kind", ["opt", "llama"])
def test_beams_equal_those_of_transformers_generate(kernels: Any, device: Any, kind: str, least: int) -> None:
    model = small(kind, device)
    prompts = torch.randint(3, 61, (12, 7), generator=torch.Generator().manual_seed(0))
    request = Request(
        decoding=Decoding(method="beam", beams=5), max_new_tokens=12, min_new_tokens=least, eos=(2,), pad=1
    )
    ours = generate(model, prompts, request)
    on_device = prompts.to(device)
    theirs = model.generate(
        on_device, attention_mask=torch.ones_like(on_device), max_new_tokens=12, min_new_tokens=least or None,
        num_beams=5, do_sample=False, pad_token_id=1, eos_token_id=2,
    )[:, 7:].cpu()  # fmt: skip
    assert torch.equal(ours[:, : theirs.shape[1]], theirs)
    assert model.config._attn_implementation == "sdpa"


def test_a_model_learns_from_fused_losses_as_from_plain_ones(
    device: Any, kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small("opt", device)
    ids = torch.randint(3, 61, (6, 9), generator=torch.Generator().manual_seed(1)).to(device)
    gradients = []
    for chosen in (kernels, None):
        monkeypatch.setattr(blocks, "kernels_for", lambda _device, chosen=chosen: chosen)
        model.zero_grad()
        blocks.next_token_losses(model, ids).mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_kernels_are_chosen_on_cuda_alone() -> None:
    assert fused.kernels_for(torch.device("cpu")) is None
    assert fused.kernels_for(torch.device("cuda")) is not None
