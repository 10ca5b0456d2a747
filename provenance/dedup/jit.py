"""Compiles the kernels of this package, and gives them the machine instructions numba has no name for.

Knows no text. numba looks for a changed kernel in the kernel's own file only, so a kernel that is cached and the
functions it calls belong in one file.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on first use, without the GIL, and keep the machine code on disk where that is possible.

    numba keeps it beside the source, else in the user's cache folder. Where neither can be written (a read-only
    container without a home) it refuses at import; then the kernel is compiled anew in each process.
    """
    try:
        compiled: F = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:
        compiled = numba.njit(nogil=True)(function)
    return compiled


def helper(function: F) -> F:
    """Compile a function that only kernels call; it is inlined into them."""
    compiled: F = numba.njit(nogil=True)(function)
    return compiled


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, bits: int) -> Any:
    """A pointer to `bits` bits at the index `arguments[1]` of the array `arguments[0]`."""
    array_type, array, index = signature.args[0], arguments[0], arguments[1]
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.IntType(bits).as_pointer())


@intrinsic
def load_u64(_typing: Any, array: Any, _index: Any) -> Any:
    """The 8 bytes of a uint8 array at any index, as a little-endian number. The caller keeps within the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments, 64), align=1)

    return numba.uint64(array, numba.uint64), generate


@intrinsic
def load_u32(_typing: Any, array: Any, _index: Any) -> Any:
    """The 4 bytes of a uint8 array at any index, as a little-endian number. The caller keeps within the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments, 32), align=1)

    return numba.uint32(array, numba.uint64), generate


@intrinsic
def store_u64(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
    """Write 8 bytes into a uint8 array at any index. The caller keeps within the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments, 64)
        builder.store(arguments[2], pointer, align=1)
        return context.get_dummy_value()

    return numba.void(array, numba.uint64, numba.uint64), generate


def _bytes64(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """64 bytes as one vector, from where `_pointer` points."""
    vector = ir.VectorType(ir.IntType(8), 64)
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer()), align=1)


def _all64(value: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(8), 64), [value] * 64)


@intrinsic
def white_mask(_typing: Any, array: Any, _index: Any) -> Any:
    """Of the 64 bytes at an index, which are ASCII white space as `str.split` has it: bit k for byte k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _bytes64(context, builder, signature, arguments)
        # 9 to 13 and 28 to 32: five values from the first one up.
        low = builder.icmp_unsigned("<", builder.sub(found, _all64(9)), _all64(5))
        high = builder.icmp_unsigned("<", builder.sub(found, _all64(28)), _all64(5))
        return builder.bitcast(builder.or_(low, high), ir.IntType(64))

    return numba.uint64(array, numba.uint64), generate


@intrinsic
def special_mask(_typing: Any, array: Any, _index: Any) -> Any:
    """Of the 64 bytes at an index, which begin a character that may be a space or a word by itself: C2, E0 and up."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _bytes64(context, builder, signature, arguments)
        c2 = builder.icmp_unsigned("==", found, _all64(0xC2))
        wide = builder.icmp_unsigned(">=", found, _all64(0xE0))
        return builder.bitcast(builder.or_(c2, wide), ir.IntType(64))

    return numba.uint64(array, numba.uint64), generate


@intrinsic
def trailing_zeros(_typing: Any, _value: Any) -> Any:
    """How many zero bits lie below the lowest set bit; 64 for 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return numba.uint64(numba.uint64), generate


@intrinsic
def popcount(_typing: Any, _value: Any) -> Any:
    """How many bits are set."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.uint64(numba.uint64), generate
