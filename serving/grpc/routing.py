"""How HAProxy finds the model that a call is for, as edits of the configuration that Ray Serve writes.

Serve's own rule is a client that names the application in its metadata, `application: fraud`. Clients of the protocol
know nothing of that, so what they do send decides: a message's first field is the model's name, in all three requests
that are about a model, and every encoder writes fields in their order. A message that HAProxy cannot read (compressed,
or about no model) goes to the front, which decodes it.
"""

from serving.grpc import open_inference_pb2 as pb

_PATHS = f"/{pb.DESCRIPTOR.services_by_name['GRPCInferenceService'].full_name}/"
_FRAME_BYTES = 5  # before each message: one byte that says whether it is compressed, four with its length
_ARRIVE_S = 5  # for the bytes that decide; a client that sends slower goes to the front


def haproxy_edits(models: tuple[str, ...], front: str) -> list[str]:
    """`sed` expressions; each application's rule is found by its name, and stands in the file once it runs."""
    prefixes = {model: pb.ModelInferRequest(model_name=model).SerializeToString() for model in models}
    read_bytes = _FRAME_BYTES + max(map(len, prefixes.values()))
    refused = 'hdr grpc-status 12 hdr grpc-message "there is no such method; see docs/serving.md for those that are"'
    frontend = (
        "frontend grpc_frontend",
        # Also Serve's own service, which would answer without asking for an API key.
        f"http-request return status 200 content-type application/grpc {refused} unless {{ path_beg {_PATHS} }}",
        f"http-request wait-for-body time {_ARRIVE_S}s at-least {read_bytes}",
    )
    edits = [f"s|^frontend grpc_frontend$|{_lines(*frontend)}|"]
    for model, prefix in prefixes.items():
        edits.append(_sent_to(model, f"{{ req.body,bytes({_FRAME_BYTES},{len(prefix)}) -m bin {prefix.hex()} }}"))
    return [*edits, _sent_to(front, "")]


def _sent_to(application: str, condition: str) -> str:
    """Behind Serve's rule for the application, one for calls that name none."""
    rule = rf"use_backend \1 if !{{ req.hdr(application) -m found }} {condition}".rstrip()
    return rf"s|^ *acl is_\([^ ]*\) req.hdr(application) -m str {application}$|{_lines('&', rule)}|"


def _lines(*lines: str) -> str:
    return "\\n    ".join(lines)
