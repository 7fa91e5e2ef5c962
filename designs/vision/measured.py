"""What was measured for the image design, and where its results lie."""

from designs.benchmarks import beyond_capacity, demo, drill, overload, proxied, serve_cell, serve_ratio, twin
from designs.evidence import Claim, FromResult, Source

_MODEL = "pipelines/vision/model.py"
_CIFAR = 'make bench-vision ARGS="--recipe cifar --seeds 1"'
_CIFAR_GPU = 'make bench-vision ARGS="--recipe cifar --seeds 3 --workers 1"'
_LARGE = 'make bench-vision ARGS="--recipe cifar-large --seeds 2 --workers 1"'


def _variant(recipe: str, says: str) -> FromResult:
    """Accuracy of a variant of the base recipe."""
    function = recipe.replace("-", "_")
    return FromResult(
        key=f"{function}_accuracy",
        unit="",
        says=says,
        result=f"bench-vision-{recipe}",
        path="runs/*/metrics/accuracy/0",
        reduce="mean",
        command="make bench-variants",
        same=(_MODEL, f"pipelines/vision/recipes.py::{function}"),
    )


def _cifar(key: str, unit: str, result: str, field: str, says: str, command: str) -> FromResult:
    return FromResult(
        key=key,
        unit=unit,
        says=says,
        result=result,
        path=f"runs/*/{field}",
        reduce="mean",
        command=command,
        same=(_MODEL,),
    )


QUALITY: tuple[Source, ...] = (
    demo("accuracy", "", "vision/metrics/accuracy/0", "accuracy of the base recipe on Fashion-MNIST"),
    demo("accuracy_low", "", "vision/metrics/accuracy/1", "low end of its bootstrap interval"),
    demo("accuracy_high", "", "vision/metrics/accuracy/2", "high end of its bootstrap interval"),
    demo("linear_accuracy", "", "vision/baselines/linear/accuracy/0", "accuracy of a linear model on raw pixels"),
    _variant("base", "accuracy of `base`, over seeds"),
    _variant("small", "accuracy of `small`: narrower"),
    _variant("deep", "accuracy of `deep`: a fourth stage"),
    _variant("coarse", "accuracy of `coarse`: half the pixels"),
    _variant("base-int8", "accuracy of `base-int8`: eight-bit weights and activations"),
    _cifar("cifar_accuracy", "", "bench-vision-cifar", "metrics/accuracy/0", "accuracy of `cifar`, two cores", _CIFAR),
    _cifar("cifar_cpu_s", "s", "bench-vision-cifar", "train_s", "training loop of `cifar`, two cores", _CIFAR),
    _cifar(
        "cifar_gpu_accuracy",
        "",
        "bench-vision-cifar-h100",
        "metrics/accuracy/0",
        "accuracy of `cifar`, H100",
        _CIFAR_GPU,
    ),
    _cifar("cifar_gpu_s", "s", "bench-vision-cifar-h100", "train_s", "training loop of `cifar`, H100", _CIFAR_GPU),
    _cifar(
        "large_accuracy",
        "",
        "bench-vision-cifar-large-h100",
        "metrics/accuracy/0",
        "accuracy of `cifar-large`, H100",
        _LARGE,
    ),
    _cifar("large_gpu_s", "s", "bench-vision-cifar-large-h100", "train_s", "training loop of it, H100", _LARGE),
)


def _training(key: str, unit: str, path: str, says: str) -> FromResult:
    return FromResult(
        key=key,
        unit=unit,
        says=says,
        result="bench-train-base",
        path=path,
        reduce="only" if path.startswith("ratios") else "median",
        command="make bench-train",
        ages=("pipelines",),
    )


def _part(name: str, says: str) -> FromResult:
    return FromResult(
        key=f"without_{name}",
        unit="",
        says=says,
        result="bench-parts-base",
        path=f"ratios/{name}",
        command="make bench-parts",
        ages=("pipelines",),
    )


TRAINING: tuple[Source, ...] = (
    _training("ray_over_torchrun", "", "ratios/ray_over_torchrun", "images/s under Ray Train over torchrun"),
    _training(
        "ray_over_naive",
        "",
        "ratios/ray_over_naive",
        "images/s under Ray Train over a naive loop: full precision, channels first, default allocator",
    ),
    _training("ray_images_per_s", "images/s", "images_per_s/ray/*", "images a second under Ray Train"),
    _training("naive_images_per_s", "images/s", "images_per_s/naive/*", "images a second of the naive loop"),
    _part("second_worker", "images/s with one worker over two"),
    _part("bf16", "images/s in full precision over bf16 autocast"),
    _part("channels_last", "images/s with channels first over channels last"),
    _part("kept_memory", "images/s with the default allocator over kept pages"),
    _part("large_batch", "images/s with a quarter of the batch over the whole"),
)

SERVING: tuple[Source, ...] = (
    *twin("vision"),
    *drill("vision"),
    serve_cell(
        "cpu_us_per_request",
        "us",
        "drillyard-1/one image, binary/16/cpu_us_per_request",
        "CPU time of a request with one image: server and proxy, sixteen connections",
    ),
    proxied(
        "jpeg_us_per_mb",
        "us",
        "drillyard-1/JPEG of 1 MB/cpu_us_per_request",
        "CPU time of a request with a JPEG of a megabyte, decoding included",
    ),
    serve_cell(
        "single_images_per_s",
        "images/s",
        "drillyard-1/one image, binary/16/rows_per_s",
        "images a second, one a request, one replica",
    ),
    serve_cell(
        "batched_images_per_s",
        "images/s",
        "drillyard-1/64 images, binary/16/rows_per_s",
        "images a second, sixty-four a request, one replica",
    ),
    serve_cell(
        "core_images_per_s",
        "images/s",
        "in-process-1/64 images, binary/0/rows_per_s",
        "images a second of ONNX Runtime alone, one thread, batches of sixty-four",
    ),
    serve_ratio(
        "served_ratio",
        "drillyard-1/64 images, binary/in-process-1/64 images, binary",
        "images/s served over ONNX Runtime alone, sixty-four a request",
    ),
    serve_ratio(
        "served_single_ratio",
        "drillyard-1/one image, binary/in-process-1/one image, binary",
        "the same with one image a request",
    ),
    overload("capacity_rps", "requests/s", "capacity_rps", "capacity of one replica, one image a request"),
    *beyond_capacity(),
)

CLAIMS: tuple[Source, ...] = (
    Claim(key="base_parameters", unit="weights", says="weights of `base`"),
    Claim(key="small_parameters", unit="weights", says="weights of `small`"),
    Claim(key="deep_parameters", unit="weights", says="weights of `deep`"),
    Claim(key="cifar_parameters", unit="weights", says="weights of `cifar`"),
    Claim(key="large_parameters", unit="weights", says="weights of `cifar-large`"),
    Claim(key="base_multiply_adds", unit="MAC/image", says="multiply-adds an image of `base`"),
    Claim(key="small_multiply_adds", unit="MAC/image", says="multiply-adds an image of `small`"),
    Claim(key="deep_multiply_adds", unit="MAC/image", says="multiply-adds an image of `deep`"),
    Claim(key="coarse_multiply_adds", unit="MAC/image", says="multiply-adds an image of `coarse`"),
    Claim(key="cifar_multiply_adds", unit="MAC/image", says="multiply-adds an image of `cifar`, mirror image included"),
    Claim(key="base_graph_bytes", unit="B", says="weights and constants in the exported `base`"),
    Claim(key="int8_graph_bytes", unit="B", says="weights, constants and scales in the exported `base-int8`"),
    Claim(key="image_json_bytes", unit="B", says="body of a request with one small image, as JSON"),
    Claim(key="image_binary_bytes", unit="B", says="the same body with raw bytes behind a JSON header"),
    Claim(
        key="batch_speedup",
        unit="",
        says="images that ONNX Runtime answers in the same CPU time by thirty-two",
        tolerance=2.0,
    ),
    Claim(key="small_speedup", unit="", says="CPU time of `base` over `small`, batches of thirty-two", tolerance=2.0),
    Claim(key="deep_speedup", unit="", says="CPU time of `base` over `deep`, batches of thirty-two", tolerance=2.0),
    Claim(key="coarse_speedup", unit="", says="CPU time of `base` over `coarse`, batches of thirty-two", tolerance=2.0),
    Claim(
        key="int8_speedup", unit="", says="CPU time of `base` over `base-int8`, batches of thirty-two", tolerance=2.0
    ),
)
