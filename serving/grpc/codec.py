"""Messages of the protocol to validated arrays and back, with the same checks as the JSON routes.

Specification: https://github.com/open-inference/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from collections.abc import Mapping, Sequence
from typing import Any

from drillyard.core.contract import Dtype, ModelCard, TensorSpec
from serving.grpc import open_inference_pb2 as pb
from serving.protocol import v2
from serving.protocol.errors import RequestError, shown
from serving.protocol.parameters import checked
from serving.protocol.tensors import Array, checked_shape, raw_to_array, to_array
from serving.protocol.v2 import InferRequest

# The one field of InferTensorContents that holds elements of the type.
CONTENTS: dict[Dtype, str] = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
}


def decode_infer_request(message: pb.ModelInferRequest, card: ModelCard, *, max_rows: int) -> InferRequest:
    """A message as arrays that the model accepts without further checks. Raises RequestError.

    Raw contents become views on the message's bytes, not copies.
    """
    _check_parameters(message.parameters, "parameters")
    inputs = _inputs(message, card.inputs, max_rows)
    return InferRequest(id=message.id or None, inputs=inputs, outputs=_outputs(message.outputs, card.outputs))


def encode_infer_response(
    card: ModelCard, request_id: str | None, outputs: dict[str, Array], *, raw: bool
) -> pb.ModelInferResponse:
    """The answer, its tensors as raw bytes (little-endian, row-major) or in typed fields.

    Raises RequestError (500) on an answer that is not finite.
    """
    response = pb.ModelInferResponse(model_name=card.name, model_version=str(card.version), id=request_id or "")
    dtypes = {spec.name: spec.dtype for spec in card.outputs}
    for name, array in outputs.items():
        v2.check_answer(name, array)
        tensor = response.outputs.add(name=name, datatype=dtypes[name], shape=array.shape)
        if raw:
            response.raw_output_contents.append(array.tobytes())
        else:
            getattr(tensor.contents, CONTENTS[dtypes[name]]).extend(array.reshape(-1).tolist())
    return response


def _inputs(message: pb.ModelInferRequest, specs: tuple[TensorSpec, ...], max_rows: int) -> dict[str, Array]:
    declared = {spec.name: spec for spec in specs}
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        expected = f"expected one for each of the {len(message.inputs)} inputs"
        raise RequestError(400, f"raw_input_contents has {len(raw)} entries, which is not valid; {expected}")
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(message.inputs):
        spec = v2.expected_tensor(declared, arrays, index, tensor.name, tensor.datatype)
        _check_parameters(tensor.parameters, f"inputs[{spec.name}].parameters")
        shape = checked_shape(spec, list(tensor.shape), max_rows)
        if not raw:
            arrays[spec.name] = to_array(spec, _elements(tensor, spec), shape)
        elif tensor.HasField("contents"):
            raise RequestError(400, f"inputs[{spec.name}].contents is not valid beside raw_input_contents; send one")
        else:
            arrays[spec.name] = raw_to_array(spec, raw[index], shape)
    v2.check_together(arrays, declared)
    return arrays


def _elements(tensor: pb.ModelInferRequest.InferInputTensor, spec: TensorSpec) -> list[Any]:
    """The typed contents, which must lie in the field of the tensor's type."""
    expected = CONTENTS[spec.dtype]
    for field, _ in tensor.contents.ListFields():
        if field.name != expected:
            where = f"inputs[{spec.name}].contents.{field.name}"
            raise RequestError(400, f"{where} is not valid; expected {expected} ({spec.dtype})")
    return list(getattr(tensor.contents, expected))


def _outputs(
    wanted: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor], specs: tuple[TensorSpec, ...]
) -> tuple[str, ...]:
    """The outputs to answer with, in the order asked for, each once; all when none is asked for."""
    declared = [spec.name for spec in specs]
    for index, output in enumerate(wanted):
        if output.name not in declared:
            given = shown(output.name)
            raise RequestError(
                400, f"outputs[{index}].name={given} is not valid; expected one of {', '.join(declared)}"
            )
        _check_parameters(output.parameters, f"outputs[{output.name}].parameters")
    return tuple(dict.fromkeys(output.name for output in wanted)) or tuple(declared)


def _check_parameters(parameters: Mapping[str, pb.InferParameter], field: str) -> None:
    if parameters:  # seldom
        checked({key: _value(parameter) for key, parameter in parameters.items()}, field)


def _value(parameter: pb.InferParameter) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)
