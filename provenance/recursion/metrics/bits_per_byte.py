"""Bits per byte: how surprised a model is by held-out human text, whatever its vocabulary.

Perplexity per token depends on what a token is and on which tokens the model knows, and both change as a vocabulary
dies out. Code length per UTF-8 byte does not: every model must pay for the same bytes, unknown words included.
"""

from collections.abc import Mapping

from provenance.plugins import Metric


def bits_per_byte(total_bits: float, total_bytes: int) -> float:
    """Code length of the held-out text in bits, per byte of it."""
    return total_bits / total_bytes if total_bytes else float("nan")


def by_subgroup(total_bits: Mapping[str, float], total_bytes: Mapping[str, int]) -> dict[str, float]:
    """Code length of each subgroup of the held-out text in bits, per byte of it: who is forgotten first."""
    return {name: bits_per_byte(bits, total_bytes[name]) for name, bits in total_bits.items()}


METRIC = Metric(
    name="bits_per_byte",
    unit="bit/byte",
    higher_is_better=False,
    needs=("held_out_bits", "held_out_bytes"),
    measure=bits_per_byte,
)
BY_SUBGROUP = Metric(
    name="bits_per_byte_by_subgroup",
    unit="bit/byte",
    higher_is_better=False,
    needs=("held_out_subgroup_bits", "held_out_subgroup_bytes"),
    measure=by_subgroup,
)
