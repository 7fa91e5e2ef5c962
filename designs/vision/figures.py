"""What the image design starts from, what was measured for it, and what follows by arithmetic."""

from designs.benchmarks import demo, overload, serve_cell, serve_ratio, twin
from designs.evidence import Claim, FromResult, Source
from designs.figures import Bound, Estimate, Input

_MODEL = "pipelines/vision/model.py"

INPUTS = (
    Input(
        key="uploads_per_day",
        value=100e6,
        unit="images/day",
        says="pictures that sellers upload on a mean day",
        source="assumed: a large marketplace",
    ),
    Input(
        key="peak_over_mean_ratio",
        value=4.0,
        unit="",
        says="busiest second over the mean one",
        source="assumed: sellers are awake at the same hours",
    ),
    Input(key="seconds_per_day", value=86400, unit="s/day", says="seconds in a day", source="definition"),
    Input(key="hours_per_month", value=730, unit="h/month", says="hours in a month", source="definition: a year / 12"),
    Input(
        key="photo_kb",
        value=300,
        unit="kB",
        says="an uploaded photo",
        source="assumed: JPEG, scaled down by the app before the upload",
    ),
    Input(
        key="catalogue_count",
        value=2e9,
        unit="images",
        says="pictures in the catalogue, classified again when the model changes",
        source="assumed: some weeks of uploads, as many as are still on offer",
    ),
    Input(
        key="target_utilisation_ratio",
        value=0.6,
        unit="",
        says="utilisation that replicas are planned for at peak",
        source="chosen: well below the knee of the queue",
    ),
    Input(
        key="zones_count",
        value=3,
        unit="zones",
        says="zones that serve at once",
        source="chosen: the loss of one leaves two thirds",
    ),
    Input(
        key="core_hour_eur",
        value=0.04,
        unit="EUR/core/h",
        says="price of a core",
        source="assumed: general-purpose cloud machines on demand",
    ),
    Input(
        key="gpu_hour_eur",
        value=3.0,
        unit="EUR/GPU/h",
        says="price of an H100",
        source="assumed: rented by the hour",
    ),
    Input(
        key="training_cores_count",
        value=2,
        unit="cores",
        says="cores that the CPU training ran on",
        source="docs/results/bench-vision-cifar.json: machine",
    ),
    Input(
        key="test_images_count",
        value=10_000,
        unit="images",
        says="images in the test set",
        source="Fashion-MNIST and CIFAR-10, as their authors split them",
    ),
    Input(
        key="asked_torchrun_ratio",
        value=0.95,
        unit="",
        says="speed of Ray Train over torchrun that was asked for",
        source="pipelines/bench_train.py::BARS",
    ),
    Input(
        key="asked_cifar_accuracy",
        value=0.94,
        unit="",
        says="accuracy on CIFAR-10 that was hoped for on a GPU",
        source="chosen: what the recipe's models reach on the original files elsewhere",
    ),
)


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


_CIFAR = 'make bench-vision ARGS="--recipe cifar --seeds 3"'
_LARGE = 'make bench-vision ARGS="--recipe cifar-large --seeds 2 --workers 1"'

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
        "cifar_gpu_accuracy", "", "bench-vision-cifar-h100", "metrics/accuracy/0", "accuracy of `cifar`, H100", _CIFAR
    ),
    _cifar("cifar_gpu_s", "s", "bench-vision-cifar-h100", "train_s", "training loop of `cifar`, H100", _CIFAR),
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
    demo("drill_p50_ms", "ms", "vision/drill/p50_ms", "median latency in the design's drill"),
    demo("drill_p99_ms", "ms", "vision/drill/p99_ms", "p99 latency in the design's drill"),
    demo("drill_offered_rps", "requests/s", "vision/drill/offered_rps", "load of that drill"),
    demo("drill_errors_count", "requests", "vision/drill/errors", "failed requests of that drill"),
    serve_cell(
        "cpu_us_per_request",
        "us",
        "drillyard-1/one image, binary/16/cpu_us_per_request",
        "CPU time of a request with one image: server and proxy, sixteen connections",
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
    overload("overload_goodput_ratio", "", "bars/goodput_ratio", "goodput at twice the capacity over that at capacity"),
    overload("refusal_p99_ms", "ms", "bars/refusal_p99_ms", "p99 of a refusal at twice the capacity"),
)


def _claim(key: str, unit: str, says: str, *, tolerance: float | None = None) -> Claim:
    return Claim(key=key, unit=unit, says=says, function=key, tolerance=tolerance)


CLAIMS: tuple[Source, ...] = (
    _claim("base_parameters", "weights", "weights of `base`"),
    _claim("small_parameters", "weights", "weights of `small`"),
    _claim("deep_parameters", "weights", "weights of `deep`"),
    _claim("cifar_parameters", "weights", "weights of `cifar`"),
    _claim("large_parameters", "weights", "weights of `cifar-large`"),
    _claim("base_multiply_adds", "MAC/image", "multiply-adds an image of `base`"),
    _claim("small_multiply_adds", "MAC/image", "multiply-adds an image of `small`"),
    _claim("deep_multiply_adds", "MAC/image", "multiply-adds an image of `deep`"),
    _claim("coarse_multiply_adds", "MAC/image", "multiply-adds an image of `coarse`"),
    _claim("cifar_multiply_adds", "MAC/image", "multiply-adds an image of `cifar`, mirror image included"),
    _claim("base_graph_bytes", "B", "weights and constants in the exported `base`"),
    _claim("int8_graph_bytes", "B", "weights, constants and scales in the exported `base-int8`"),
    _claim("image_json_bytes", "B", "body of a request with one small image, as JSON"),
    _claim("image_binary_bytes", "B", "the same body with raw bytes behind a JSON header"),
    _claim("batch_speedup", "", "images that ONNX Runtime answers in the same CPU time by thirty-two", tolerance=2.0),
    _claim("small_speedup", "", "CPU time of `base` over `small`, batches of thirty-two", tolerance=2.0),
    _claim("deep_speedup", "", "CPU time of `base` over `deep`, batches of thirty-two", tolerance=2.0),
    _claim("coarse_speedup", "", "CPU time of `base` over `coarse`, batches of thirty-two", tolerance=2.0),
    _claim("int8_speedup", "", "CPU time of `base` over `base-int8`, batches of thirty-two", tolerance=2.0),
)

ESTIMATES = (
    Estimate(key="mean_rps", unit="images/s", formula="uploads_per_day / seconds_per_day", says="mean rate of uploads"),
    Estimate(
        key="peak_rps", unit="images/s", formula="mean_rps * peak_over_mean_ratio", says="rate in the busiest second"
    ),
    Estimate(
        key="upload_gbit_s",
        unit="Gbit/s",
        formula="peak_rps * photo_kb * 8 / 1e6",
        says="photos on the wire at peak",
    ),
    Estimate(
        key="photos_tb_day", unit="TB/day", formula="uploads_per_day * photo_kb / 1e9", says="photos stored a day"
    ),
    Estimate(
        key="peak_cores",
        unit="cores",
        formula="peak_rps * cpu_us_per_request / 1e6",
        says="cores that work without a pause at peak, decoding of photos not included",
    ),
    Estimate(
        key="replicas_needed_count",
        unit="replicas",
        formula="ceil(peak_cores / target_utilisation_ratio)",
        says="replicas of one core each at the planned utilisation",
    ),
    Estimate(
        key="replicas_count",
        unit="replicas",
        formula="zones_count * ceil(replicas_needed_count / (zones_count - 1))",
        says="replicas over all zones, so that the others carry the peak when one is lost",
    ),
    Estimate(
        key="utilisation_ratio",
        unit="",
        formula="peak_cores / replicas_count",
        says="utilisation at peak with all zones",
    ),
    Estimate(
        key="utilisation_zone_lost_ratio",
        unit="",
        formula="utilisation_ratio * zones_count / (zones_count - 1)",
        says="utilisation at peak with one zone lost",
    ),
    Estimate(
        key="serving_eur_month",
        unit="EUR/month",
        formula="replicas_count * core_hour_eur * hours_per_month",
        says="cost of the replicas",
    ),
    Estimate(
        key="catalogue_core_hours",
        unit="core hours",
        formula="catalogue_count / core_images_per_s / 3600",
        says="classifying the catalogue again, in batches and without a server",
    ),
    Estimate(
        key="catalogue_eur",
        unit="EUR",
        formula="catalogue_core_hours * core_hour_eur",
        says="cost of that, reading the pictures not included",
    ),
    Estimate(
        key="training_cpu_eur",
        unit="EUR",
        formula="cifar_cpu_s / 3600 * training_cores_count * core_hour_eur",
        says="cost of training `cifar` on cores",
    ),
    Estimate(
        key="training_gpu_eur",
        unit="EUR",
        formula="cifar_gpu_s / 3600 * gpu_hour_eur",
        says="cost of training `cifar` on a GPU",
    ),
    Estimate(
        key="gpu_speedup_ratio",
        unit="",
        formula="cifar_cpu_s / cifar_gpu_s",
        says="training loop on cores over that on a GPU",
    ),
    Estimate(
        key="accuracy_error_ratio",
        unit="",
        formula="sqrt(accuracy * (1 - accuracy) / test_images_count)",
        says="standard error of the accuracy, from the number of test images alone",
    ),
    Estimate(
        key="json_over_binary_ratio",
        unit="",
        formula="image_json_bytes / image_binary_bytes",
        says="bytes of an image as JSON over raw",
    ),
    Estimate(
        key="int8_size_ratio",
        unit="",
        formula="base_graph_bytes / int8_graph_bytes",
        says="bytes of the weights over those of the quantised copy",
    ),
)

BOUNDS = (
    Bound(
        key="utilisation_ratio",
        at_most=0.6,
        says="the queue before each replica grows steeply beyond the planned utilisation",
    ),
    Bound(
        key="utilisation_zone_lost_ratio",
        at_most=0.85,
        says="with a zone lost at peak, uploads are shed",
    ),
)
