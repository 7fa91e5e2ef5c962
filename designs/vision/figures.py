"""What the image design starts from, and what follows by arithmetic."""

from designs import replicated
from designs.figures import Estimate, Input

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
    replicated.SECONDS_PER_DAY,
    replicated.HOURS_PER_MONTH,
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
    *replicated.OPTIONS,
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
        key="photo_us",
        unit="us",
        formula="photo_kb / 1000 * jpeg_us_per_mb",
        says="CPU time of a photo: decoding goes with its bytes, and the network is hardly seen beside it",
    ),
    *replicated.capacity("photo_us"),
    Estimate(
        key="network_cores",
        unit="cores",
        formula="peak_rps * cpu_us_per_request / 1e6",
        says="cores of those that would be busy if small tensors came instead of photos",
    ),
    replicated.COST,
    Estimate(
        key="catalogue_core_hours",
        unit="core hours",
        formula="catalogue_count / core_images_per_s / 3600",
        says="classifying the catalogue again, in batches and without a server, pictures decoded already",
    ),
    Estimate(
        key="catalogue_decoding_core_hours",
        unit="core hours",
        formula="catalogue_count * photo_us / 1e6 / 3600",
        says="decoding its photos for that",
    ),
    Estimate(
        key="catalogue_eur",
        unit="EUR",
        formula="(catalogue_core_hours + catalogue_decoding_core_hours) * core_hour_eur",
        says="cost of both, reading the files not included",
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

BOUNDS = (*replicated.bounds("uploads"),)
