"""What the image design decided, and how it fails."""

from designs.records import Decision, FailureMode, FigureCheck, Option, TestCheck

DECISIONS = (
    Decision(
        key="network",
        title="A small residual network, not the smallest and not the best",
        context=(
            "A label is shown before the page has loaded. Accuracy beyond what a seller notices is worth little, and "
            "every image costs its arithmetic forever."
        ),
        options=(
            Option(
                name="Three residual stages",
                says=(
                    "accuracy {base_accuracy|.3f} on Fashion-MNIST over seeds, one of them between {accuracy_low|.3f} "
                    "and {accuracy_high|.3f}; "
                    "{base_parameters} weights and {base_multiply_adds/1e6|.1f} million multiply-adds an image."
                ),
            ),
            Option(
                name="Narrower",
                says=(
                    "accuracy {small_accuracy|.3f}; {small_parameters} weights, {small_multiply_adds/1e6|.1f} million "
                    "multiply-adds; {small_speedup|.1f} times as many images from the same CPU time."
                ),
            ),
            Option(
                name="Deeper",
                says=(
                    "accuracy {deep_accuracy|.3f}; {deep_parameters} weights. A fourth stage works on maps of one "
                    "pixel, so it adds weights and little arithmetic: {deep_multiply_adds/1e6|.1f} million."
                ),
            ),
            Option(
                name="Smaller images",
                says=(
                    "accuracy {coarse_accuracy|.3f}; {coarse_multiply_adds/1e6|.1f} million multiply-adds: arithmetic "
                    "goes with the pixels, weights stay."
                ),
            ),
            Option(
                name="Eight bits",
                says=(
                    "accuracy {base_int8_accuracy|.3f}; {int8_speedup|.1f} times as many images from the same CPU "
                    "time, and {int8_size_ratio|.1f} times fewer bytes."
                ),
            ),
            Option(
                name="A linear model on pixels",
                says="accuracy {linear_accuracy|.3f}. It shows what the data set gives away.",
            ),
        ),
        decision=(
            "Three stages. The narrower network and the smaller images lose more than a point, the deeper one wins "
            "nothing that the test set could show. Eight bits lose nothing either and are the next champion to try: "
            "photos are decoded first and cost far more than the network, so until apps scale them down it saves "
            "little."
        ),
        confirmed_by=FigureCheck(key="base_accuracy", at_least="small_accuracy"),
    ),
    Decision(
        key="preprocessing",
        title="Resizing and normalisation are inside the exported graph",
        context=(
            "A server that prepares images in its own code has two chances to do it otherwise than training did: "
            "another filter, another order of channels. Nothing fails; accuracy sinks."
        ),
        options=(
            Option(
                name="Inside the graph",
                says=(
                    "one function from raw bytes to label. Any height and width; one file to hash. The graph works a "
                    "little more."
                ),
            ),
            Option(name="In the server", says="faster libraries may be used, and must agree with training for ever."),
            Option(name="In the client", says="saves bandwidth, and every client is a new way to be wrong."),
        ),
        decision="Inside. Parity on real test images is checked before a model can be registered.",
        confirmed_by=TestCheck(name="tests/pipelines/test_export.py::test_vision_takes_any_height_and_width"),
    ),
    Decision(
        key="training",
        title="Ray Train, though torchrun is faster on two cores",
        context=(
            "The loop is the same under both. What differs is who starts the workers, restarts them and keeps their "
            "checkpoints."
        ),
        options=(
            Option(
                name="Ray Train",
                says=(
                    "{ray_over_torchrun|.2f} of torchrun's images a second ({ray_over_torchrun.low|.2f} to "
                    "{ray_over_torchrun.high|.2f}). The bar was {asked_torchrun_ratio}: missed. Its helper processes "
                    "take their share of two cores, and workers that run in step pay twice for it."
                ),
            ),
            Option(
                name="torchrun",
                says=(
                    "the fastest here. Restarts, placement on several machines and serving beside it are then "
                    "another tool's work."
                ),
            ),
        ),
        decision=(
            "Ray Train, since a killed worker is survived with the same result, and machines with more cores than "
            "these lose less to helpers. On one small machine torchrun is the better tool, and the design says so."
        ),
        confirmed_by=TestCheck(
            name="tests/pipelines/test_training_integration.py::test_a_killed_worker_is_survived_with_the_same_result"
        ),
    ),
    Decision(
        key="overload",
        title="What cannot be answered in time is refused at once",
        context=(
            "One replica answers {capacity_rps} images a second. Beyond that a queue grows until every answer is "
            "late, and late answers are work for nobody."
        ),
        options=(
            Option(
                name="Bounded queue in the proxy, then refuse",
                says=(
                    "at twice the capacity goodput stays at {overload_goodput_ratio|.2f} of what it is at capacity, "
                    "and a refusal takes {refusal_p99_ms|.0f} ms at p99."
                ),
            ),
            Option(
                name="Queue without a bound", says="no refusals; every answer late, and memory until there is none."
            ),
            Option(
                name="Autoscaling alone",
                says="it is needed too, but replicas take seconds to come, and bursts are over by then.",
            ),
        ),
        decision=(
            "Refuse early with a time to come back. Uploads can wait: the client tries again, with a pause that grows."
        ),
        confirmed_by=TestCheck(
            name="tests/serving/test_overload_integration.py::test_what_cannot_be_served_is_refused_at_once_and_the_rest_is_right"
        ),
    ),
    Decision(
        key="bytes",
        title="Pixels travel as bytes",
        context="JSON is what every client can speak. A pixel in JSON is up to four characters.",
        options=(
            Option(
                name="The encoded photo, decoded by the server",
                says=(
                    "smallest on the wire and simplest for people; decoding costs {jpeg_us_per_mb/1000|.0f} ms of CPU "
                    "a megabyte."
                ),
            ),
            Option(
                name="Raw bytes behind a JSON header",
                says="{image_binary_bytes} bytes for a small image, read in place.",
            ),
            Option(
                name="JSON numbers",
                says="{image_json_bytes} bytes, {json_over_binary_ratio|.1f} times as many, each to be parsed.",
            ),
        ),
        decision="People send files, services send bytes. JSON stays for trying things out.",
        confirmed_by=FigureCheck(key="image_binary_bytes", at_most="image_json_bytes"),
    ),
    Decision(
        key="hardware",
        title="A GPU buys time, not money, at this size",
        context="Training `cifar` is minutes on two cores and seconds on a GPU.",
        options=(
            Option(
                name="GPU for training",
                says=(
                    "{cifar_gpu_s|.0f} s, {training_gpu_eur|.3f} EUR at the assumed price, accuracy "
                    "{cifar_gpu_accuracy|.3f}."
                ),
            ),
            Option(
                name="Cores",
                says="{cifar_cpu_s|.0f} s, {training_cpu_eur|.3f} EUR, accuracy {cifar_accuracy|.3f} from one seed.",
            ),
        ),
        decision=(
            "A GPU where somebody waits for the result or tries many recipes: {gpu_speedup_ratio|.0f} times as fast "
            "for about the same price. Serving stays on cores, since one image is too little work for a GPU and the "
            "rate is small."
        ),
        confirmed_by=FigureCheck(key="cifar_gpu_s", at_most="cifar_cpu_s"),
    ),
)

FAILURES = (
    FailureMode(
        name="More uploads than can be answered",
        effect="Queues grow, answers come late.",
        seen_by=("drillyard_proxy_unserved_total", "drillyard_proxy_queued"),
        limited_by="A bounded queue in the proxy; the rest is refused at once and may come again.",
        drill="spike",
        result=(
            "Measured by `make bench-overload`: goodput {overload_goodput_ratio|.2f} of that at capacity, refusals "
            "within {refusal_p99_ms|.0f} ms."
        ),
    ),
    FailureMode(
        name="A replica freezes in a large batch",
        effect="The whole batch waits, and so does everybody behind it.",
        seen_by=("drillyard_queue_wait_seconds", "drillyard_batch_rows"),
        limited_by="Batches end at a size; a request that makes a batch fail is asked again alone.",
        drill="freeze-replica",
        result="Drilled with the fraud model; see its document.",
    ),
    FailureMode(
        name="Pictures change: dark, blurred, of new things",
        effect="The network answers with confidence whatever it sees.",
        seen_by=("drillyard_input_drift_psi", "drillyard_score_drift_psi"),
        limited_by=(
            "Mean and deviation of bytes and the largest score are watched against training; people label a sample."
        ),
        drill="drift",
        result="Its figures stand in the table of [drills](../../docs/drills.md).",
    ),
    FailureMode(
        name="A hostile file",
        effect="A few bytes that unpack into gigabytes, or a header that lies.",
        seen_by=("drillyard_requests_total", "drillyard_front_requests_total"),
        limited_by="Size and pixels are limited before anything is decoded; errors name the field.",
        drill="poison",
        result="Held by `tests/serving/test_people.py::test_a_decompression_bomb_is_refused_by_its_header`.",
    ),
    FailureMode(
        name="A quantised model is worse than it looked",
        effect="Accuracy falls on classes that the calibration images had few of.",
        seen_by=("drillyard_comparisons_total",),
        limited_by="It is registered only if validation loses little; a shadow compares it with the champion.",
        drill="worse-version",
        result="Held by `tests/pipelines/test_quantize.py::test_a_costly_quantisation_is_not_registered`.",
    ),
)
