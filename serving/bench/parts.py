"""What is compared: one row on every server, images at saturation, and large bodies through two proxies."""

from collections.abc import Callable, Sequence

import numpy as np

from drillyard.core.contract import MODEL_FILE, SAMPLES_FILE
from serving.bench.forms import BINARY, PROTOCOL
from serving.bench.inprocess import InProcess
from serving.bench.pictures import file_of_size, noise, picture_workload
from serving.bench.rounds import Ask, Contender, OverHttp
from serving.bench.servers import Ground, Server, behind_python_proxy, ours
from serving.bench.workload import Arrays, Workload, workload
from serving.graph import open_session

ONE_ROW, MANY_ROWS = "one row", "64 rows, binary"
ONE_IMAGE, ONE_IMAGE_BINARY, MANY_IMAGES = "one image, JSON", "one image, binary", "64 images, binary"
ROWS = 64  # of a request that carries many
DISTINCT = 64  # different requests of a workload
SATURATING = 16  # connections
LARGE, LARGE_S = 4, 8.0  # connections that send large bodies, and for how long at least
SIDE = 32
Run = Callable[[Arrays], Arrays]


def rows(
    ground: Ground, servers: Sequence[Server], connections: tuple[int, ...], rates: tuple[float, ...]
) -> list[Contender]:
    """One row a request on every server, in its own JSON; this project's also with 64 rows in binary tensors."""
    inputs, run = samples(ground, DISTINCT), model(ground)
    batches = workload(MANY_ROWS, BINARY, ground.infer_path, samples(ground, 8 * ROWS), run, rows=ROWS)
    many = Ask(work=batches, connections=(SATURATING,))
    found: list[Contender] = []
    for server in servers:
        one = workload(ONE_ROW, server.form, server.path or ground.infer_path, inputs, run, rows=1)
        asks = (Ask(work=one, connections=connections), *((many,) if server.speaks_binary else ()))
        found.append(OverHttp(part="rows", name=server.name, server=server, ground=ground, asks=asks, rates=rates))
    return found


def saturation(ground: Ground) -> list[Contender]:
    """Small images until the processor is full: one and two replicas against the same threads without a server."""
    images, run = small_images(ground), model(ground)
    asks = tuple(
        Ask(work=workload(name, form, ground.infer_path, images, run, rows=count), connections=(SATURATING,))
        for name, form, count in (
            (ONE_IMAGE, PROTOCOL, 1),
            (ONE_IMAGE_BINARY, BINARY, 1),
            (MANY_IMAGES, BINARY, ROWS),
        )
    )
    found: list[Contender] = []
    for count in (1, 2):
        server = ours(count)
        found.append(OverHttp(part="images", name=server.name, server=server, ground=ground, asks=asks))
        found.append(
            InProcess(
                part="images",
                name=f"in-process-{count}",
                folder=ground.model.path,
                inputs=images,
                threads=count,
                workloads={ONE_IMAGE_BINARY: 1, MANY_IMAGES: ROWS},
            )
        )
    return found


def proxies(ground: Ground) -> list[Contender]:
    """Bodies of 1 and 8 MB through HAProxy and through Serve's Python proxy, one replica behind each."""
    run, card = model(ground), ground.model.card
    works: list[Workload] = []
    for size_mb in (1, 8):
        for file_format in ("PNG", "JPEG"):
            file = file_of_size(size_mb * 2**20, file_format)
            works.append(picture_workload(f"{file_format} of {size_mb} MB", card, file, file_format, run))
        pixels = noise(round((size_mb * 2**20 / 3) ** 0.5))
        tensor = {card.inputs[0].name: pixels[np.newaxis]}
        works.append(workload(f"tensor of {size_mb} MB", BINARY, ground.infer_path, tensor, run, rows=1))
    asks = tuple(Ask(work=work, connections=(LARGE,), least_s=LARGE_S) for work in works)
    return [
        OverHttp(part="proxies", name=server.name, server=server, ground=ground, asks=asks)
        for server in (ours(1), behind_python_proxy())
    ]


def samples(ground: Ground, count: int) -> Arrays:
    """The first real test inputs that came with the model."""
    with np.load(ground.model.path / SAMPLES_FILE, allow_pickle=False) as archive:
        return {spec.name: archive[f"input.{spec.name}"][:count] for spec in ground.model.card.inputs}


def small_images(ground: Ground) -> Arrays:
    """Two batches of real test images, edges repeated up to 32 by 32."""
    ((name, images),) = samples(ground, 2 * ROWS).items()
    missing = [SIDE - length for length in images.shape[1:3]]
    return {name: np.pad(images, ((0, 0), *((short // 2, short - short // 2) for short in missing), (0, 0)), "edge")}


def model(ground: Ground) -> Run:
    """The model itself, without a server: its answers are the right ones."""
    session = open_session(ground.model.path / MODEL_FILE, threads=1, ref=ground.model.ref)
    names = [spec.name for spec in ground.model.card.outputs]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))
