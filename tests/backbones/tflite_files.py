"""Small TFLite files of the right shape, in place of those that cannot be had here."""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def write_tflite(path: Path, n_samples: int, n_embedding: int, *, told: bool) -> np.ndarray:
    """Write a file whose embedding is the first samples of a window, and its scores three sums of it.

    Parameters
    ----------
    path : Path
    n_samples, n_embedding : int
    told : bool, whether the embedding is an output besides the scores, after them

    Returns
    -------
    ndarray [shape=(3, n_embedding)], the weights of the scores
    """
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, n_embedding)).astype(np.float32)
    constants = [
        np.zeros(2, np.int32), np.array([1, n_embedding], np.int32), weights, np.zeros(3, np.float32)
    ]  # fmt: skip
    tensors = [
        ("samples", [1, n_samples], None), ("begin", [2], 0), ("size", [2], 1),
        ("embedding", [1, n_embedding], None), ("weights", [3, n_embedding], 2), ("bias", [3], 3),
        ("scores", [1, 3], None),
    ]  # fmt: skip
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    for constant in constants:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(constant.tobytes(), np.uint8)
        model.buffers.append(buffer)
    graph.tensors = []
    for name, shape, constant in tensors:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, np.array(shape, np.int32)
        integer = constant in (0, 1)
        tensor.type = schema.TensorType.INT32 if integer else schema.TensorType.FLOAT32
        tensor.buffer = 0 if constant is None else constant + 1
        graph.tensors.append(tensor)
    model.operatorCodes, graph.operators = [], []
    kinds = schema.BuiltinOperator
    options = schema.BuiltinOptions
    for kind, inputs, output, option, settings in (
        (kinds.SLICE, [0, 1, 2], 3, options.SliceOptions, schema.SliceOptionsT()),
        (
            kinds.FULLY_CONNECTED, [3, 4, 5], 6,
            options.FullyConnectedOptions, schema.FullyConnectedOptionsT(),
        ),
    ):  # fmt: skip
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = kind
        code.version = 1
        operator.opcodeIndex = len(model.operatorCodes)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        operator.builtinOptionsType, operator.builtinOptions = option, settings
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    graph.inputs = np.array([0], np.int32)
    graph.outputs = np.array([6, 3] if told else [6], np.int32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return weights
