"""What the primitives of JAX are in ONNX, in one registry.

To convert a further primitive, write a function like `_transpose` and add a line to `PRIMITIVES`.
It takes the graph, the equation and the equation's inputs, of which one at least is not a
constant. It adds nodes to the graph and returns the name of the output, or a list of names.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn

from flowasd.errors import UserError
from flowasd.serving.onnx_graph import Graph, Value, check_type, sizes

LARGEST_FACTOR = 64  # of a spectrum's length; the model has 8 bytes for each sample times it


def aval(atom: Any) -> Any:
    """Returns shape and type of an input or output of an equation."""
    return atom.aval


def unsupported(eqn: JaxprEqn) -> UserError:
    """Returns the error of an equation whose primitive has no counterpart."""
    return UserError(f"ONNX: the operation {eqn.primitive.name} of this model cannot be exported")


def evaluated(eqn: JaxprEqn, inputs: Sequence[Any]) -> list[Value]:
    """Computes an equation of constants; symbolic sizes count as 1."""
    params = {name: _with_sizes(value) for name, value in eqn.params.items()}
    try:
        outputs = eqn.primitive.bind(*inputs, **params)
    except NotImplementedError as error:
        raise unsupported(eqn) from error
    outputs = outputs if eqn.primitive.multiple_results else [outputs]
    return [np.asarray(output) for output in outputs]


def _with_sizes(param: Any) -> Any:
    """A parameter that is a shape, or anything else."""
    if type(param) is tuple and all(np.ndim(n) == 0 and hasattr(n, "__add__") for n in param):
        return tuple(sizes(param, 1))
    return param


def _shape(eqn: JaxprEqn, symbolic: int) -> np.ndarray:
    return np.array(sizes(aval(eqn.outvars[0]).shape, symbolic), np.int64)


def _same(operator: str):
    """An operation on every element."""
    return lambda graph, eqn, *inputs: graph.add(operator, *inputs)


def _unchanged(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return x


def descending(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    """`flowasd.features.pooling.descending`, whose sort of bit patterns ONNX does not have."""
    sort = next(e for e in eqn.params["jaxpr"].jaxpr.eqns if _sorts(e))
    while sort.primitive.name != "sort":
        sort = next(e for e in sort.params["jaxpr"].jaxpr.eqns if _sorts(e))
    axis = sort.params["dimension"]
    size = np.array([aval(eqn.invars[0]).shape[axis]], np.int64)
    return graph.add("TopK", x, size, outputs=2, axis=axis)


def _sorts(eqn: JaxprEqn) -> bool:
    return eqn.primitive.name == "sort" or eqn.params.get("name") == "sort"


def _power(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    if (y := eqn.params["y"]) == 2:
        return graph.add("Mul", x, x)
    return graph.add("Pow", x, np.array(y, np.float32))


def _square(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return graph.add("Mul", x, x)


def _reshape(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return graph.add("Reshape", x, _shape(eqn, -1))


def _broadcast(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    """Adds axes of size 1; those that are not symbolic get their size."""
    (operand, *_), whole = eqn.invars, _shape(eqn, 1)
    kept = np.ones(len(whole), np.int64)
    kept[[int(i) for i in eqn.params["broadcast_dimensions"]]] = sizes(aval(operand).shape, -1)
    x = graph.add("Reshape", x, kept)
    return graph.add("Expand", x, whole) if (whole > abs(kept)).any() else x


def _transpose(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return graph.add("Transpose", x, perm=[int(i) for i in eqn.params["permutation"]])


def _concatenate(graph: Graph, eqn: JaxprEqn, *inputs: Value) -> Value:
    return graph.add("Concat", *inputs, axis=eqn.params["dimension"])


def _cut(graph: Graph, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    return graph.add("Slice", x, *(np.array([n], np.int64) for n in (start, stop, axis, step)))


def _slice(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    shape = aval(eqn.invars[0]).shape
    starts, stops = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or [1] * len(shape)
    for axis, (size, *cut) in enumerate(zip(shape, starts, stops, steps, strict=True)):
        if cut != [0, size, 1]:
            x = _cut(graph, x, axis, *map(int, cut))
    return x


def _split(graph: Graph, eqn: JaxprEqn, x: Value) -> list[Value]:
    ends = np.cumsum(eqn.params["sizes"]).tolist()
    return [
        _cut(graph, x, eqn.params["axis"], start, stop)
        for start, stop in zip([0, *ends], ends, strict=False)
    ]


def _pad(graph: Graph, eqn: JaxprEqn, x: Value, value: Value) -> Value:
    low, high, between = (
        [int(n) for n in column] for column in zip(*eqn.params["padding_config"], strict=True)
    )
    if any(between):
        raise UserError("ONNX: padding between elements cannot be exported")
    return graph.add("Pad", x, np.array(low + high, np.int64), value) if any(low + high) else x


def _select(graph: Graph, eqn: JaxprEqn, which: Value, false: Value, true: Value) -> Value:
    return graph.add("Where", which, true, false)


def _cast(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return graph.add("Cast", x, to=check_type(eqn.params["new_dtype"]))


def _reduce(operator: str):
    """ReduceSum or ReduceMax over some axes."""
    return lambda graph, eqn, x: graph.add(
        operator, x, np.array(eqn.params["axes"], np.int64), keepdims=0
    )


def _dot(graph: Graph, eqn: JaxprEqn, left: Value, right: Value) -> Value:
    (contract, batch), (n, m) = eqn.params["dimension_numbers"], (aval(v).ndim for v in eqn.invars)
    pairs = [
        tuple(map(int, pair)) for both in (batch, contract) for pair in zip(*both, strict=True)
    ]
    if m == 2 and pairs == [(n - 1, 0)]:
        return graph.add("MatMul", left, right)
    ours, theirs = [chr(97 + i) for i in range(n)], [chr(97 + n + i) for i in range(m)]
    for i, j in pairs:
        theirs[j] = ours[i]
    shared, summed = ([ours[int(i)] for i in side[0]] for side in (batch, contract))
    rest = [letter for letter in (*ours, *theirs) if letter not in (*shared, *summed)]
    equation = f"{''.join(ours)},{''.join(theirs)}->{''.join(shared + rest)}"
    return graph.add("Einsum", left, right, equation=equation)


def _gather(graph: Graph, eqn: JaxprEqn, x: Value, *where: Value) -> Value:
    """Picks elements of every clip by places that do not depend on the input."""
    shape, out = sizes(aval(eqn.invars[0]).shape, 0), sizes(aval(eqn.outvars[0]).shape, 0)
    if any(isinstance(place, str) for place in where) or shape.count(0) != 1 or out.count(0) != 1:
        raise UserError("ONNX: places that depend on the recording cannot be exported")
    places = np.arange(np.prod(np.maximum(shape, 1))).reshape(np.maximum(shape, 1))
    (table,) = evaluated(eqn, [places, *where])
    table = np.moveaxis(np.asarray(table), out.index(0), 0)[0]
    flat = _moved(graph, x, len(shape), shape.index(0), 0)
    flat = graph.add("Reshape", flat, np.array([-1, places.size]))
    block, first = _blocks(table.ravel())  # such as the hops that overlapping frames share
    if missing := -places.size % block:
        flat = graph.add("Pad", flat, np.array([0, 0, 0, missing]))
    blocks = graph.add("Reshape", flat, np.array([0, -1, block]))
    picked = graph.add("Gather", blocks, first, axis=1)
    picked = graph.add("Reshape", picked, np.array([-1, *table.shape]))
    return _moved(graph, picked, len(out), 0, out.index(0))


def _blocks(places: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns the greatest size of blocks that places are made of, and the index of every block."""
    starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)  # of runs of neighbouring places
    block = int(np.gcd.reduce(np.concatenate([[places.size], starts, places[starts]])))
    return block, places[::block].astype(np.int64) // block


def _moved(graph: Graph, x: Value, n_axes: int, source: int, target: int) -> Value:
    """`x` with one axis moved to another place."""
    order = [axis for axis in range(n_axes) if axis != source]
    order.insert(target, source)
    return x if source == target else graph.add("Transpose", x, perm=order)


def _fft(graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    """The spectrum of real samples by two matrix products (Cooley & Tukey, 1965).

    onnxruntime's own DFT takes three times as long. Of `n = a * b` samples, the first product takes
    the spectra of the `b` signals of every b-th sample, turned by their phases. The second one
    joins them. Real and imaginary parts become the axis before the last one.
    """
    if eqn.params["fft_type"] != jax.lax.FftType.RFFT or len(eqn.params["fft_lengths"]) > 1:
        raise UserError("ONNX: only spectra of real signals can be exported")
    n = int(eqn.params["fft_lengths"][0])
    a = max(d for d in range(1, min(math.isqrt(n), LARGEST_FACTOR) + 1) if n % d == 0)
    b, half = n // a, n // a // 2 + 1
    turns = (b * np.arange(a)[:, None] + np.arange(b)[:, None, None]) * np.arange(a) % n / n
    cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    inner = np.concatenate([cos, -sin], 2).astype(np.float32)
    turns = np.outer(np.arange(half), np.arange(b)) % b / b
    cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    outer = np.block([[cos, sin], [-sin, cos]]).astype(np.float32)

    x = graph.add("Transpose", graph.add("Reshape", x, np.array([-1, a, b])), perm=[2, 0, 1])
    x = graph.add("Reshape", graph.add("MatMul", x, inner), np.array([b, -1, 2, a]))
    x = graph.add("Reshape", graph.add("Transpose", x, perm=[1, 2, 0, 3]), np.array([-1, 2 * b, a]))
    rest = sizes(aval(eqn.invars[0]).shape[:-1], -1)
    x = graph.add("Reshape", graph.add("MatMul", outer, x), np.array([*rest, 2, half * a]))
    return _cut(graph, x, -1, 0, n // 2 + 1)


def _part(i: int, graph: Graph, eqn: JaxprEqn, x: Value) -> Value:
    return graph.add("Gather", x, np.array(i), axis=-2)


ELEMENTWISE = {
    **{"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg"},
    **{"max": "Max", "min": "Min", "exp": "Exp", "log": "Log", "tanh": "Tanh", "sqrt": "Sqrt"},
    **{"abs": "Abs", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"},
    **{"eq": "Equal", "and": "And", "or": "Or", "not": "Not", "logistic": "Sigmoid"},
    "sign": "Sign",
}
PRIMITIVES: dict[str, Callable[..., Any]] = {
    **{name: _same(operator) for name, operator in ELEMENTWISE.items()},
    **{"reduce_sum": _reduce("ReduceSum"), "reduce_max": _reduce("ReduceMax")},
    **{"reshape": _reshape, "squeeze": _reshape, "broadcast_in_dim": _broadcast},
    **{"transpose": _transpose, "concatenate": _concatenate, "slice": _slice, "split": _split},
    **{"pad": _pad, "select_n": _select, "convert_element_type": _cast, "dot_general": _dot},
    **{"integer_pow": _power, "square": _square, "gather": _gather, "copy": _unchanged},
    **{"fft": _fft, "real": partial(_part, 0), "imag": partial(_part, 1)},
}
