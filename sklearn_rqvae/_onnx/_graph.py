"""A graph of ONNX operators that grows call by call, and becomes a model file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_rqvae._files._replace import replace_file
from sklearn_rqvae._versions import present_versions

__all__ = ["Graph", "import_onnx"]

# Operators of 2022, which every runtime in use has.
_OPSET, _IR_VERSION = 17, 8
# What a file of protocol buffers can hold.
_MOST_BYTES = 2**31 - 1


def import_onnx() -> Any:
    """Return the package onnx, or say how to get it.

    Returns
    -------
    onnx : module
        The package.

    Raises
    ------
    ImportError
        If it isn't installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs onnx: pip install 'sklearn-rqvae[onnx]'", name="onnx"
        ) from error
    return onnx


class Graph:
    """Collect operators and constants.

    Values are known by their names: methods take and return these.

    Parameters
    ----------
    name : str
        Name of the graph.
    """

    def __init__(self, name: str):
        self._onnx = import_onnx()
        self._name = name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def op(self, kind: str, *inputs: str | NDArray[Any], n_outputs: int = 1, **options: Any) -> Any:
        """Add an operator.

        Parameters
        ----------
        kind : str
            Its name in ONNX.
        *inputs : str or ndarray
            Values, or constants.
        n_outputs : int, default=1
            Number of its outputs.
        **options : dict
            Its attributes.

        Returns
        -------
        output : str or tuple of str
            The output, or the outputs.
        """
        names = [self.constant(x) if isinstance(x, np.ndarray) else x for x in inputs]
        outputs = [f"{kind}_{len(self._nodes)}_{i}" for i in range(n_outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, names, outputs, **options))
        return outputs[0] if n_outputs == 1 else tuple(outputs)

    def constant(self, array: NDArray[Any]) -> str:
        """Add an array.

        Parameters
        ----------
        array : ndarray
            Numbers.

        Returns
        -------
        name : str
            Its name.
        """
        name = f"constant_{len(self._constants)}"
        tensor = self._onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
        self._constants.append(tensor)
        return name

    def integers(self, *values: int) -> str:
        """Add a vector of 64-bit integers, such as a shape or axes."""
        return self.constant(np.array(values, dtype=np.int64))

    def columns(self, x: str, start: int, stop: int) -> str:
        """Return columns of a matrix."""
        return self.op("Slice", x, self.integers(start), self.integers(stop), self.integers(1))

    def linear(
        self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None = None
    ) -> str:
        r"""Return :math:`x W^\top + b`."""
        parts = [] if bias is None else [bias]
        return self.op("Gemm", x, weight, *parts, transB=1)

    def sum_last(self, x: str, *, keep: int = 0) -> str:
        """Return sums over the last axis."""
        return self.op("ReduceSum", x, self.integers(-1), keepdims=keep)

    def write(
        self,
        path: str | os.PathLike[str],
        given: tuple[str, type, int],
        result: tuple[str, str, type, int],
        about: dict[str, str],
    ) -> None:
        """Write the graph to a file, which appears whole or not at all.

        Parameters
        ----------
        path : str or path-like
            The file.
        given : tuple of (str, type, int)
            Name, dtype and number of columns of the input, a matrix of any number of rows.
        result : tuple of (str, str, type, int)
            Value, name, dtype and number of columns of the output.
        about : dict of str to str
            What the file says of the model.

        Raises
        ------
        ValueError
            If the model is larger than ONNX files can be.
        """
        helper = self._onnx.helper
        value, name, dtype, n_columns = result
        self._nodes.append(helper.make_node("Identity", [value], [name]))

        def matrix(label: str, kind: type, width: int) -> Any:
            number = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            return helper.make_tensor_value_info(label, number, ["n_samples", width])

        graph = helper.make_graph(
            self._nodes,
            self._name,
            [matrix(*given)],
            [matrix(name, dtype, n_columns)],
            self._constants,
        )
        versions = present_versions()
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="sklearn_rqvae",
            producer_version=versions["sklearn_rqvae"],
        )
        helper.set_model_props(model, {**about, "sklearn": versions["sklearn"]})
        size = model.ByteSize()
        if size > _MOST_BYTES:
            raise ValueError(
                f"the model takes {size} bytes, more than an ONNX file holds; fit smaller "
                "codebooks or layers."
            )
        self._onnx.checker.check_model(model)
        with replace_file(path) as file:
            file.write(model.SerializeToString(deterministic=True))
