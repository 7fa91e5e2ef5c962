"""The protocol against a real server, as clients written elsewhere speak it, as the documents show it, and abused."""

import gzip
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from drillyard.core import processes
from serving.state import ServerState
from tests.serving.test_people import encoded, png_that_claims
from tests.serving.test_routes import binary_fraud_request, fraud_request
from tests.support import client_venv, tiny_models
from tests.support.clients import kserve_data
from tests.support.floods import Prepared, flood, prepared

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


# Triton's client


@pytest.fixture(scope="module")
def client(server: ServerState) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        yield client


def features(rows: int = 5, columns: int = 29) -> Any:
    return np.random.default_rng(rows).normal(size=(rows, columns)).astype(np.float32)


def tensor(name: str, array: Any, *, binary: bool = True) -> triton.InferInput:
    datatype = {"float32": "FP32", "float64": "FP64", "uint8": "UINT8"}[str(array.dtype)]
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_triton_client_sees_server_and_models(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for version in ("", "1"):
        assert client.is_model_ready("fraud", version)
        metadata = client.get_model_metadata("fraud", version)
        assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 29]}]
        assert [output["name"] for output in metadata["outputs"]] == ["score", "is_fraud", "reasons"]
    assert not client.is_model_ready("fraud", "2")
    assert not client.is_model_ready("nothing")


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_triton_client_infers(
    client: triton.InferenceServerClient, sent: bool, answered: bool, compression: str | None
) -> None:
    array = features()
    names = ("score", "is_fraud", "reasons")
    result = client.infer(
        "fraud",
        [tensor("features", array, binary=sent)],
        outputs=[triton.InferRequestedOutput(name, binary_data=answered) for name in names],
        request_id="t-1",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    assert result.get_response()["id"] == "t-1"
    for name, expected in zip(names, tiny_models.expected_fraud(array), strict=True):
        assert ("data" in result.get_output(name)) == (not answered)
        np.testing.assert_allclose(result.as_numpy(name), expected, atol=1e-6)


def test_triton_client_infers_by_version_and_with_its_defaults(client: triton.InferenceServerClient) -> None:
    """Without requested outputs it asks for all of them as binary data; the other parameters mean nothing here."""
    image = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), dtype=np.uint8)
    result = client.infer(
        "vision", [tensor("image", image)], model_version="1", sequence_id=3, priority=1, timeout=10**6
    )
    scores, label = tiny_models.expected_vision(image)
    np.testing.assert_allclose(result.as_numpy("scores"), scores, atol=1e-5)
    np.testing.assert_array_equal(result.as_numpy("label"), label)


def wrong_calls() -> dict[str, tuple[str, list[Any], list[Any] | None, str, str]]:
    shared = triton.InferInput("features", [1, 29], "FP32")
    shared.set_shared_memory("region", 116)
    good, score = tensor("features", features(1)), triton.InferRequestedOutput("score")
    return {
        "wrong shape": ("fraud", [tensor("features", features(1, 28))], None, "400", "expected [any, 29]"),
        "wrong type": ("fraud", [tensor("features", features(1).astype(np.float64))], None, "400", "expected FP32"),
        "not finite": ("fraud", [tensor("features", features(1) * np.float32(np.inf))], None, "400", "data[0]="),
        "wrong input": ("fraud", [tensor("feature", features(1))], None, "400", "expected one of features"),
        "wrong output": ("fraud", [good], [triton.InferRequestedOutput("label")], "400", "expected one of score"),
        "classes": ("fraud", [good], [triton.InferRequestedOutput("score", class_count=3)], "400", "classification"),
        "shared memory": ("fraud", [shared], [score], "400", "shared memory is not supported"),
        "too many rows": ("fraud", [tensor("features", features(4097))], None, "413", "at most 4096 rows"),
        "unknown model": ("nothing", [good], None, "404", "fraud, vision"),
    }


@pytest.mark.parametrize("case", wrong_calls())
def test_triton_client_is_told_what_is_wrong(client: triton.InferenceServerClient, case: str) -> None:
    model, inputs, outputs, status, words = wrong_calls()[case]
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, inputs, outputs=outputs)
    assert caught.value.status() == status
    assert words in caught.value.message()


# KServe's client, in its own environment


def test_kserve_client(server: ServerState) -> None:
    python = client_venv.python_with(ROOT / "tests/support/clients/kserve-requirements.txt", client_venv.user_cache())
    script = ROOT / "tests/support/clients/kserve_session.py"
    done = subprocess.run([python, script, server.url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = orjson.loads(done.stdout)
    assert (said["live"], said["ready"], said["models"]) == (True, True, [True, True, False])
    score, is_fraud, reasons = tiny_models.expected_fraud(kserve_data.FEATURES)
    for case, answer in said["scores"].items():
        assert answer["id"] == "k"
        assert answer["framed"] == case.endswith("True")
        np.testing.assert_allclose(answer["score"], score, atol=1e-6)
        np.testing.assert_allclose(answer["reasons"], reasons, atol=1e-6)
        np.testing.assert_array_equal(answer["is_fraud"], is_fraud)
    assert len(said["scores"]) == 4
    assert said["label"] == {"label": tiny_models.expected_vision(kserve_data.IMAGE)[1].tolist()}
    assert said["wrong shape"]["status"] == said["wrong type"]["status"] == 400
    assert "expected [any, 29]" in said["wrong shape"]["message"]
    assert said["wrong model"]["status"] == 404


# The documents' own commands


def shell_examples() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs/serving.md").read_text(), flags=re.DOTALL)
    return [block for block in blocks if "curl" in block]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs the program curl")
@pytest.mark.parametrize("example", shell_examples())
def test_documented_requests_are_answered(server: ServerState, tmp_path: Path, example: str) -> None:
    (tmp_path / "shoe.png").write_bytes(encoded("PNG"))
    command = example.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}").replace("curl -s", "curl -sSf")
    script = f"set -euo pipefail\n{command}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    if "--output answer.bin" in example:
        json_bytes = int(re.findall(rb"inference-header-content-length: (\d+)", done.stdout, flags=re.IGNORECASE)[0])
        answer = (tmp_path / "answer.bin").read_bytes()
        outputs = orjson.loads(answer[:json_bytes])["outputs"]
        assert sum(output["parameters"]["binary_data_size"] for output in outputs) == len(answer) - json_bytes


def test_people_may_compress_their_bodies_too(server: ServerState) -> None:
    packed = {"content-encoding": "gzip", "content-type": "image/png"}
    asked = prepared("packed", 200, "POST", "/predict/vision", gzip.compress(encoded("PNG")), packed)
    assert flood(server.port, [asked], 1, connections=1) == {("packed", 200): 1}


# Abuse


def test_schemathesis_finds_no_answer_that_is_not_described(server: ServerState, tmp_path: Path) -> None:
    """Requests made from the OpenAPI description, valid and not: no 5xx, and only documented codes, types and forms."""
    checks = (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "allow_header_conformance",
    )
    # 504 is right when the request itself gives the server a millisecond to answer.
    (tmp_path / "config.toml").write_text('checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 504]')
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", "config.toml", "run", f"{server.url}/openapi.json"),
        *(
            "--checks",
            ",".join(checks),
            "--phases",
            "coverage,fuzzing",
            "--max-time",
            "30",
            "--max-response-time",
            "10",
        ),
        *("--seed", "1", "--generation-database", "none", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def bad_requests() -> list[Prepared]:
    """Each is refused for another reason; together they pass through every decoder."""
    infer, (good, _), (framed, header, _) = "/v2/models/fraud/infer", fraud_request(), binary_fraud_request(1)
    name = "Inference-Header-Content-Length"
    cheap = [
        prepared("no JSON", 400, "POST", infer, b"{" * 40),
        prepared("deep JSON", 400, "POST", infer, b"[" * 2000),
        prepared("empty", 400, "POST", infer),
        prepared("wrong shape", 400, "POST", infer, good.replace(b"[1,29]", b"[1,30]")),
        prepared("huge shape", 400, "POST", infer, good.replace(b"[1,29]", b"[1,29,99999999]")),
        prepared("wrong type", 400, "POST", infer, good.replace(b"FP32", b"INT64")),
        prepared("NaN", 400, "POST", infer, good.replace(b'"data":[', b'"data":[NaN,')),
        prepared("text", 400, "POST", infer, good.replace(b'"data":[', b'"data":["1",')),
        prepared("too many rows", 413, "POST", infer, good.replace(b"[1,29]", b"[5000,29]")),
        prepared("unknown output", 400, "POST", infer, good[:-1] + b',"outputs":[{"name":"x"}]}'),
        prepared("shared memory", 400, "POST", infer, good[:-1] + b',"parameters":{"shared_memory_region":"r"}}'),
        prepared("unknown version", 404, "POST", "/v2/models/fraud/versions/77/infer", good),
        prepared("unknown route", 404, "GET", "/v2/models/fraud/nothing"),
        prepared("wrong method", 405, "PUT", infer, good),
        prepared("frame cut short", 400, "POST", infer, framed[:-1], header),
        prepared("frame too long", 400, "POST", infer, framed + b"\0", header),
        prepared("frame of NaN", 400, "POST", infer, framed[:-116] + b"\xff" * 116, header),
        prepared("lying header", 400, "POST", infer, framed, {name: "99999999"}),
        prepared("no gzip", 400, "POST", infer, good, {"content-encoding": "gzip"}),
        prepared("gzip cut short", 400, "POST", infer, gzip.compress(good)[:-9], {"content-encoding": "gzip"}),
        prepared("unknown coding", 415, "POST", infer, good, {"content-encoding": "br"}),
        prepared("no pixels", 400, "POST", "/v2/models/vision/infer", good),
    ]
    png = encoded("PNG", size=(64, 64))
    image = {"content-type": "image/png"}
    dear = [  # through the front, a Python proxy in front of the model: some ten times the time of the others
        prepared("unknown model", 404, "POST", "/v2/models/nothing/infer", good),
        prepared("damaged image", 400, "POST", "/predict/vision", png[: len(png) // 2], image),
        prepared("image bomb", 413, "POST", "/predict/vision", png_that_claims(50_000, 50_000), image),
        prepared("no fields", 400, "POST", "/predict/fraud", b"{}", {"content-type": "application/json"}),
    ]
    return [*cheap * 8, *dear]


def resident_bytes(server: ServerState) -> dict[str, int]:
    """Memory of each process that answers requests, by its title."""
    found = {}
    for pid in processes.belonging_to(server.run_dir):
        process = psutil.Process(pid)
        title = " ".join(process.cmdline())
        if title.startswith("ray::ServeReplica"):
            found[f"{title} {pid}"] = process.memory_info().rss
    return found


def test_50_000_bad_requests_leave_no_memory_behind(server: ServerState) -> None:
    """A replica may grow by 16 MiB, 335 bytes a request. A leak would be more: the smallest thing a request can leave,
    its exception with the message, the frames and the body in them, is over a kilobyte, hence over 50 MB. Replicas grow
    by some MB in their first minutes whether they are asked or not, and 5,000 requests before fill caches and arenas.
    """
    mix = bad_requests()
    bomb = prepared(
        "gzip bomb",
        413,
        "POST",
        "/v2/models/fraud/infer",
        gzip.compress(bytes(64 * 2**20)),
        {"content-encoding": "gzip"},
    )
    flood(server.port, [*mix, bomb], 5_000, connections=4)
    before = resident_bytes(server)
    counts = flood(server.port, mix, 50_000, connections=4)
    counts += flood(server.port, [bomb], 40, connections=4)
    after = resident_bytes(server)
    assert set(counts) == {(request.name, request.status) for request in [*mix, bomb]}
    assert len(before) == 3
    assert before.keys() == after.keys(), "a replica was replaced"
    grown = {title: after[title] - before[title] for title in before}
    assert max(grown.values()) < 16 * 2**20, grown
    good = prepared("good", 200, "POST", "/v2/models/fraud/infer", fraud_request()[0])
    assert flood(server.port, [good], 1, connections=1) == {("good", 200): 1}
