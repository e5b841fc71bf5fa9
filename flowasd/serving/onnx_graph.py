"""An ONNX graph that is being made: its nodes and its constants."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowasd.errors import UserError

try:
    from onnx import TensorProto, checker, helper, numpy_helper
except ImportError as error:
    raise UserError(f"ONNX: {error}; install the extra, 'flowasd[export]'") from error

OPSET, IR = 20, 10  # the first that have what is used
TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}

# A constant, or the name of a tensor of the graph.
Value = np.ndarray | str
# Type and shape of an input or output, whose sizes are numbers or names.
Described = tuple[Any, list[int | str]]


class Graph:
    """The nodes and constants of a graph.

    Attributes:
        nodes: The nodes, in an order in which they can be computed.
        constants: The constants, each once.
    """

    def __init__(self):
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names: dict[tuple[Any, ...], str] = {}

    def add(self, operator: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> str:
        """Adds a node.

        Args:
            operator: Name of the ONNX operator.
            *inputs: Its inputs.
            outputs: Number of its outputs.
            **attributes: Its attributes.

        Returns:
            The name of its first output.
        """
        names = [self.name_of(value) for value in inputs]
        made = [f"{operator.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, made, **attributes))
        return made[0]

    def name_of(self, value: Value) -> str:
        """Returns the name of a tensor; a constant gets one.

        Raises:
            UserError: If a constant is of a type that is not in `TYPES`.
        """
        if isinstance(value, str):
            return value
        key = (check_type(value.dtype), value.shape, value.tobytes())
        if key not in self._names:
            self._names[key] = f"constant_{len(self._names)}"
            tensor = numpy_helper.from_array(np.asarray(value, order="C"), self._names[key])
            self.constants.append(tensor)
        return self._names[key]

    def model(
        self,
        inputs: Mapping[str, Described],
        outputs: Mapping[str, Described],
        values: Mapping[str, Value],
        defaults: Mapping[str, np.ndarray],
        metadata: Mapping[str, str],
    ) -> bytes:
        """Returns the graph as a model, checked and serialised.

        Args:
            inputs: Type and shape of every input.
            outputs: Type and shape of every output.
            values: The value that every output has.
            defaults: Values of the inputs that a caller may leave out.
            metadata: Properties of the model.
        """
        ends = [helper.make_node("Identity", [self.name_of(values[n])], [n]) for n in outputs]
        given = [numpy_helper.from_array(value, name) for name, value in defaults.items()]
        made = helper.make_graph(
            [*self.nodes, *ends],
            "flowasd",
            _described(inputs),
            _described(outputs),
            [*self.constants, *given],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(made, opset_imports=opsets, ir_version=IR)
        helper.set_model_props(model, dict(metadata))
        checker.check_model(model, full_check=True)
        return model.SerializeToString()


def _described(arrays: Mapping[str, Described]) -> list[Any]:
    return [
        helper.make_tensor_value_info(name, check_type(dtype), shape)
        for name, (dtype, shape) in arrays.items()
    ]


def check_type(dtype: Any) -> int:
    """Returns ONNX's number of a type.

    Raises:
        UserError: If there is none in `TYPES`.
    """
    if str(dtype) not in TYPES:
        raise UserError(
            f"ONNX: arrays of {dtype} cannot be exported; bfloat16 comes of --config.model.dtype"
        )
    return TYPES[str(dtype)]


def sizes(shape: Sequence[Any], symbolic: int) -> list[int]:
    """Returns a shape with `symbolic` wherever a size is not a number."""
    return [int(n) if isinstance(n, int | np.integer) else symbolic for n in shape]
