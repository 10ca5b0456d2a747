"""Our decoding against transformers' `generate`, token for token; sampling against the distribution it claims."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from provenance.errors import ConfigError, ProvenanceError  # noqa: E402
from provenance.recursion.decoding import Decoding, Request, generate  # noqa: E402
from provenance.recursion.decoding.choosing import draw, truncated  # noqa: E402

torch.set_num_threads(1)  # models this small only lose by sharing the work

VOCABULARY, PROMPTS, LENGTH, NEW, PAD = 61, 12, 7, 22, 1
SMALL = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": 0,
    "eos_token_id": 2,
}


def opt() -> Any:
    return transformers.OPTForCausalLM(
        transformers.OPTConfig(
            hidden_size=16, word_embed_proj_dim=16, num_hidden_layers=2, ffn_dim=32, num_attention_heads=2,
            init_std=0.4, **SMALL,
        )
    )  # fmt: skip


def llama() -> Any:
    # Two key-value heads for four query heads: grouped attention, as SmolLM2 has it.
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=32, num_hidden_layers=2, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
            initializer_range=0.4, **SMALL,
        )
    )  # fmt: skip


@pytest.fixture(scope="module", params=[opt, llama], ids=["opt", "llama"])
def model(request: pytest.FixtureRequest) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return request.param().eval()


@pytest.fixture(scope="module")
def prompts() -> Any:
    # No pad token among them: transformers would guess an attention mask from it.
    return torch.from_numpy(np.random.default_rng(0).integers(3, VOCABULARY, (PROMPTS, LENGTH)))


@pytest.fixture(scope="module")
def eos(model: Any, prompts: Any) -> int:
    """The token this random model likes best, so that some texts end early."""
    free = generate(model, prompts, Request(decoding=Decoding(), max_new_tokens=NEW))
    return int(torch.bincount(free[:, 8:].flatten()).argmax())


def theirs(model: Any, prompts: Any, eos: int, **options: Any) -> Any:
    found = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=NEW,
        do_sample=False,
        pad_token_id=PAD,
        eos_token_id=eos,
        **options,
    )[:, LENGTH:]
    padded = torch.full((len(prompts), NEW), PAD, device=prompts.device)
    padded[:, : found.shape[1]] = found
    return padded


CASES = {
    "greedy": ({}, 0),
    "greedy with penalty": ({"repetition_penalty": 2.0}, 0),
    "greedy of a least length": ({}, NEW),
    "beams": ({"beams": 5}, 0),
    "beams of a least length": ({"beams": 5}, NEW),
    "beams with penalty": ({"beams": 3, "repetition_penalty": 3.0}, 5),
    "beams that favour length": ({"beams": 4, "length_penalty": 2.0}, 3),
    "beams that favour brevity": ({"beams": 4, "length_penalty": -0.5, "repetition_penalty": 1.2}, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_tokens_equal_those_of_transformers_generate(model: Any, prompts: Any, eos: int, case: str) -> None:
    options, least = CASES[case]
    beams = options.get("beams", 1)
    decoding = Decoding(method="beam" if beams > 1 else "greedy", **options)
    request = Request(decoding=decoding, max_new_tokens=NEW, min_new_tokens=least, eos=(eos,), pad=PAD)
    ours = generate(model, prompts, request)
    expected = theirs(
        model, prompts, eos, num_beams=beams, min_new_tokens=least or None,
        **{name: value for name, value in options.items() if name != "beams"},
    )  # fmt: skip
    assert torch.equal(ours, expected)
    if case in {"greedy", "beams that favour brevity"}:
        assert (ours == eos).any(), "no text ended early: this case would not test what it says"


def test_batches_can_be_cut_anywhere(model: Any, prompts: Any) -> None:
    request = Request(decoding=Decoding(method="sample", top_k=20), max_new_tokens=8)
    whole = generate(model, prompts, request, seed=4)
    assert torch.equal(generate(model, prompts, request, seed=4, batch_size=5), whole)
    assert not torch.equal(generate(model, prompts, request, seed=5), whole)


def test_no_prompts_give_no_tokens(model: Any) -> None:
    request = Request(decoding=Decoding(), max_new_tokens=4)
    assert generate(model, torch.empty(0, 3, dtype=torch.int64), request).shape == (0, 4)


def test_a_context_too_short_is_an_error(model: Any, prompts: Any) -> None:
    with pytest.raises(ConfigError, match="7 prompt tokens and 60 new ones exceed the context of 64"):
        generate(model, prompts, Request(decoding=Decoding(), max_new_tokens=60))


def test_beams_beyond_the_vocabulary_are_an_error(model: Any, prompts: Any) -> None:
    with pytest.raises(ConfigError, match="40 beams are too many for 61 tokens"):
        generate(model, prompts, Request(decoding=Decoding(method="beam", beams=40), max_new_tokens=2))


class _SmallMemory:
    """A model on a device that holds at most `room` prompts."""

    def __init__(self, model: Any, room: int) -> None:
        self._model, self._room = model, room
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        self.forward = model.forward

    def __call__(self, ids: Any, **options: Any) -> Any:
        if len(ids) > self._room:
            raise torch.OutOfMemoryError("no room")
        return self._model(ids, **options)


def test_out_of_memory_halves_the_batch_and_changes_nothing(model: Any, prompts: Any) -> None:
    request = Request(decoding=Decoding(method="beam", beams=3), max_new_tokens=6)
    expected = generate(model, prompts, request)
    assert torch.equal(generate(_SmallMemory(model, room=2), prompts, request), expected)
    with pytest.raises(ProvenanceError, match="generation 7: one prompt does not fit"):
        generate(_SmallMemory(model, room=0), prompts, request, what="generation 7")


def shares(logits: Any, decoding: Decoding, n: int = 40_000) -> Any:
    uniform = torch.from_numpy(np.random.default_rng(1).random(n))
    return torch.bincount(draw(logits.expand(n, -1), uniform, decoding), minlength=logits.shape[-1]).double() / n


def test_sampled_tokens_follow_the_softmax_at_their_temperature(model: Any, prompts: Any) -> None:
    n = 6_000
    with torch.no_grad():
        expected = (model(prompts[:1]).logits[0, -1].double() / 1.7).softmax(-1)
    request = Request(decoding=Decoding(method="sample", temperature=1.7), max_new_tokens=1)
    drawn = generate(model, prompts[:1].expand(n, -1), request, seed=2, batch_size=1_000)
    found = torch.bincount(drawn.flatten(), minlength=VOCABULARY).double() / n
    assert ((found - expected).abs() < 4.5 * (expected * (1 - expected) / n).sqrt() + 1 / n).all()


def test_top_k_and_top_p_leave_the_rest_out() -> None:
    # Probabilities .4 .3 .2 .1: two tokens reach 0.7, three are needed for more than that.
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    assert torch.equal(shares(logits, Decoding(method="sample", top_k=2)) > 0, torch.tensor([False, True, False, True]))
    nucleus = shares(logits, Decoding(method="sample", top_p=0.75))
    assert nucleus[0] == 0
    assert abs(nucleus[1] - 4 / 9) < 4 * (4 / 9 * 5 / 9 / 40_000) ** 0.5


@pytest.mark.parametrize(
    "decoding", [{"top_k": 3}, {"top_p": 0.75}, {"top_k": 3, "top_p": 0.5}, {"top_k": 50}, {"top_p": 1.0}]
)
def test_truncated_logits_leave_the_tokens_that_can_be_drawn(decoding: dict[str, Any]) -> None:
    logits = torch.tensor([0.1, 0.4, 0.05, 0.2, 0.25]).log()
    settings = Decoding(method="sample", **decoding)
    assert torch.equal(truncated(logits[None], settings)[0].isfinite(), shares(logits, settings) > 0)


def test_a_watermark_marks_only_what_truncation_left(model: Any, prompts: Any) -> None:
    def shuffle(text: Any, scores: Any) -> Any:
        del text
        return scores + 50 * torch.rand(scores.shape, generator=torch.Generator().manual_seed(1))

    greedy = generate(model, prompts, Request(decoding=Decoding(), max_new_tokens=6))
    settings = Decoding(method="sample", top_k=1)
    marked = generate(model, prompts, Request(decoding=settings, max_new_tokens=6, processor=lambda: shuffle))
    assert torch.equal(marked, greedy)


def test_a_token_of_one_in_ten_billion_can_be_drawn() -> None:
    logits = torch.tensor([0.0, -23.0])  # e^-23 is about 1e-10
    last = torch.tensor([1 - 2.0**-53])
    assert draw(logits[None], last, Decoding(method="sample")).item() == 1


def test_a_processor_sees_the_whole_text_and_decides(model: Any, prompts: Any) -> None:
    lengths = []

    def only_token_9(text: Any, scores: Any) -> Any:
        lengths.append(text.shape[1])
        return torch.full_like(scores, -torch.inf).index_fill(-1, torch.tensor([9]), 0.0)

    request = Request(decoding=Decoding(), max_new_tokens=3, processor=lambda: only_token_9)
    assert (generate(model, prompts, request) == 9).all()
    assert lengths == [LENGTH, LENGTH + 1, LENGTH + 2]


def test_beams_go_with_the_beam_method_only() -> None:
    with pytest.raises(ValueError, match="'sample' does not go with beams = 5"):
        Decoding(method="sample", beams=5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tokens_on_a_gpu_equal_those_of_transformers_there(model: Any, prompts: Any, eos: int) -> None:
    there, asked = model.cuda(), prompts.cuda()
    try:
        request = Request(decoding=Decoding(method="beam", beams=5), max_new_tokens=NEW, eos=(eos,), pad=PAD)
        assert torch.equal(generate(there, asked, request), theirs(there, asked, eos, num_beams=5).cpu())
    finally:
        model.cpu()
