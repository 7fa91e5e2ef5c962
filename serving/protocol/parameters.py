"""The `parameters` objects of a request, its tensors and its outputs.

Clients may put there what they like: unknown keys are ignored, as the protocol has it. What must not be ignored is a
key that asks for something this server does not do, since its sender would take the answer for what it asked for.
"""

from typing import Any

from serving.protocol.errors import RequestError, shown

# Triton's extensions (https://github.com/triton-inference-server/server/tree/main/docs/protocol) that are not spoken.
_SHARED_MEMORY = "send the tensor's values in the request; shared memory is not supported"
_REFUSED = {
    "classification": "ask for the scores; the classification extension is not supported",
    "shared_memory_region": _SHARED_MEMORY,
    "shared_memory_byte_size": _SHARED_MEMORY,
    "shared_memory_offset": _SHARED_MEMORY,
}


def checked(parameters: Any, field: str) -> dict[str, Any]:
    """The object, empty when there is none. Raises RequestError."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{field}={shown(parameters)} is not valid; expected an object")
    for key in _REFUSED.keys() & parameters.keys():
        raise RequestError(400, f"{field}.{key}={shown(parameters[key])} is not valid; {_REFUSED[key]}")
    return parameters


def flag(parameters: dict[str, Any], key: str, field: str, *, default: bool) -> bool:
    """A parameter that is true or false. Raises RequestError."""
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise RequestError(400, f"{field}.{key}={shown(value)} is not valid; expected true or false")
    return value
