"""What a user of KServe's own REST client would do, as one session with a server: `python kserve_session.py URL`.

Runs in the client's own virtual environment (see tests/support/client_venv.py), so it imports nothing of this project.
Prints one JSON object with what the client understood.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve_data import FEATURES, IMAGE


def request(model: str, name: str, array: Any, binary: bool, **more: Any) -> InferRequest:
    tensor = InferInput(name, list(array.shape), {"float32": "FP32", "uint8": "UINT8"}[str(array.dtype)])
    tensor.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model, [tensor], **more)


async def refusal(client: InferenceRESTClient, url: str, model: str, wrong: InferRequest) -> dict[str, Any]:
    try:
        await client.infer(url, wrong, model_name=model)
    except httpx.HTTPStatusError as error:
        return {"status": error.response.status_code, "message": str(error)}
    return {"status": 200, "message": ""}


async def session(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    said: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "models": [await client.is_model_ready(url, name) for name in ("fraud", "vision", "nothing")],
        "scores": {},
    }
    for sent in (False, True):
        for answered in (False, True):
            asked = request(
                "fraud", "features", FEATURES, sent, request_id="k", parameters={"binary_data_output": answered}
            )
            headers: dict[str, str] = {}
            answer = await client.infer(url, asked, model_name="fraud", response_headers=headers)
            outputs = {output.name: output.as_numpy().tolist() for output in answer.outputs}
            framed = "inference-header-content-length" in headers
            said["scores"][f"{sent}-{answered}"] = {"id": answer.id, "framed": framed, **outputs}
    label = RequestedOutput("label", {"binary_data": True})
    answer = await client.infer(
        url, request("vision", "image", IMAGE, True, request_outputs=[label]), model_name="vision"
    )
    said["label"] = {output.name: output.as_numpy().tolist() for output in answer.outputs}
    said["wrong shape"] = await refusal(client, url, "fraud", request("fraud", "features", FEATURES[:, :5], True))
    said["wrong type"] = await refusal(client, url, "fraud", request("fraud", "features", IMAGE, False))
    said["wrong model"] = await refusal(client, url, "nothing", request("nothing", "features", FEATURES, False))
    await client.close()
    return said


sys.stdout.write(json.dumps(asyncio.run(session(sys.argv[1]))))
