"""Turns a JAX function into an ONNX model, equation by equation of what JAX traces.

All that depends on no input is computed while converting, so the model has only what is left: the
operations on a batch of clips. The first axis of the inputs may be of symbolic size. A constant has
size 1 along a symbolic axis, and is broadcast where it meets a clip.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn, Literal

from flowasd.serving.onnx_graph import Described, Graph, Value
from flowasd.serving.onnx_primitives import PRIMITIVES, aval, descending, evaluated, unsupported


def convert(
    function: Callable[..., dict[str, jax.Array]],
    inputs: Mapping[str, jax.ShapeDtypeStruct],
    defaults: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
) -> bytes:
    """Returns a function as an ONNX model.

    Args:
        function: Takes the inputs and returns arrays by name.
        inputs: Shape and type of every input by name; the first axis may be symbolic.
        defaults: Values of the inputs that a caller may leave out.
        metadata: Properties of the model.

    Raises:
        UserError: If the function has an operation that cannot be exported.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*inputs.values())
    graph = Graph()
    outputs = _run(graph, closed, list(inputs))
    named = dict(zip(sorted(shapes), outputs, strict=True))  # JAX sorts the keys of a dict
    return graph.model(_described(inputs), _described(shapes), named, defaults, metadata)


def _described(arrays: Mapping[str, Any]) -> dict[str, Described]:
    return {
        name: (array.dtype, [n if isinstance(n, int) else str(n) for n in array.shape])
        for name, array in arrays.items()
    }


def _run(graph: Graph, function: Any, inputs: Sequence[Value]) -> list[Value]:
    """Adds the equations of a jaxpr to the graph and returns its outputs."""
    # JAX 0.10 has open and closed ones, of two types; JAX 0.12 has one type for both.
    jaxpr, consts = getattr(function, "jaxpr", function), getattr(function, "consts", [])
    values: dict[Any, Value] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Value:
        if isinstance(atom, Literal):
            return np.asarray(atom.val, aval(atom).dtype)
        return values[atom]

    for eqn in jaxpr.eqns:
        outputs = _equation(graph, eqn, [read(atom) for atom in eqn.invars])
        values |= dict(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(graph: Graph, eqn: JaxprEqn, inputs: list[Value]) -> list[Value]:
    name, inner = eqn.primitive.name, eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    constant = not any(isinstance(value, str) for value in inputs)
    if constant and (inner is None or _is_static(eqn)):
        return evaluated(eqn, inputs)
    if eqn.params.get("name") == "descending" and not constant:
        return [descending(graph, eqn, *inputs)]
    if name == "scan":
        return _scan(graph, eqn, inputs)
    if inner is not None:
        return _run(graph, inner, inputs)
    if name not in PRIMITIVES:
        raise unsupported(eqn)
    made = PRIMITIVES[name](graph, eqn, *inputs)
    return made if isinstance(made, list) else [made]


def _is_static(eqn: JaxprEqn) -> bool:
    shapes = [aval(atom).shape for atom in (*eqn.invars, *eqn.outvars)]
    return all(isinstance(n, int | np.integer) for shape in shapes for n in shape)


def _scan(graph: Graph, eqn: JaxprEqn, inputs: list[Value]) -> list[Value]:
    """Unrolls a loop, whose number of steps is known.

    A step takes a row of the inputs that have one more axis than in the body, and makes a row of
    such outputs. The other outputs are carried; so are as many inputs before the rows.
    """
    body = eqn.params["jaxpr"]
    n_carry = len(eqn.outvars) - _rows(eqn.outvars, body.jaxpr.outvars)
    n_consts = len(inputs) - n_carry - _rows(eqn.invars, body.jaxpr.invars)
    consts, carry = inputs[:n_consts], inputs[n_consts : n_consts + n_carry]
    columns, steps = inputs[n_consts + n_carry :], range(eqn.params["length"])
    stacked = []
    for i in reversed(steps) if eqn.params["reverse"] else steps:
        row = [
            graph.add("Gather", x, np.array(i), axis=0) if isinstance(x, str) else x[i]
            for x in columns
        ]
        outputs = _run(graph, body, [*consts, *carry, *row])
        carry = outputs[:n_carry]
        stacked.append(outputs[n_carry:])
    if eqn.params["reverse"]:
        stacked.reverse()
    return [*carry, *(_stack(graph, rows) for rows in zip(*stacked, strict=True))]


def _rows(outside: Sequence[Any], inside: Sequence[Any]) -> int:
    """How many values of a loop have one more axis outside of its body."""
    pairs = zip(outside, inside, strict=True)
    return sum(len(aval(out).shape) > len(aval(own).shape) for out, own in pairs)


def _stack(graph: Graph, rows: Sequence[Value]) -> Value:
    if not any(isinstance(row, str) for row in rows):
        return np.stack([np.asarray(row) for row in rows])
    return graph.add("Concat", *(graph.add("Unsqueeze", r, np.array([0])) for r in rows), axis=0)
