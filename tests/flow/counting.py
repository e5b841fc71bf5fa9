"""Counts the operations of matrix products from what JAX traces."""

import math
from typing import Any


def dot_flops(traced: Any) -> int:
    """Returns the operations of every product in a jaxpr, each multiply and add as two."""
    total = 0
    for equation in traced.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            summed = math.prod(left[axis] for axis in contracted)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * summed
        inner = [value for value in equation.params.values() if hasattr(value, "eqns")]
        total += equation.params.get("length", 1) * sum(map(dot_flops, inner))
    return total
