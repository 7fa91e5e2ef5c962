"""What an interviewer asks of the image design, and what a proposed configuration is put through."""

from designs.records import Drilled, Question, RubricFigure

RUBRIC = (
    RubricFigure(
        key="peak_rps",
        asks="How many images a second come at the peak?",
        within_factor=2.0,
        hint="Uploads a day over the seconds of a day, times the peak's share.",
    ),
    RubricFigure(
        key="upload_gbit_s",
        asks="How much bandwidth do the photos take at the peak?",
        within_factor=2.0,
        hint="Rate times size, and bits instead of bytes. Compare it with a network card.",
    ),
    RubricFigure(
        key="replicas_count",
        asks="How many replicas of one core are that?",
        within_factor=3.0,
        hint=(
            "A photo is decoded before the network sees it: some ten milliseconds, where the rest is about one. Then "
            "utilisation, then the lost zone."
        ),
    ),
    RubricFigure(
        key="base_multiply_adds",
        asks="How many multiply-adds does the network do for one image?",
        within_factor=3.0,
        hint="A convolution's weights times the pixels of its map, summed over three stages.",
    ),
    RubricFigure(
        key="catalogue_core_hours",
        asks="How many core hours of network does it take to classify the whole catalogue again?",
        within_factor=3.0,
        hint="Batches on one core do thousands of images a second, once they are decoded.",
    ),
    RubricFigure(
        key="accuracy_error_ratio",
        asks="How well is the accuracy known from the test set?",
        within_factor=1.5,
        hint="The standard error of a share.",
    ),
)

QUESTIONS = (
    Question(
        topic="Estimation",
        asks="What is the bottleneck of this system?",
        answer=(
            "Bytes. At the peak {upload_gbit_s|.0f} Gbit/s of photos come in, {photos_tb_day|.0f} TB a day are "
            "stored, and decoding keeps most of {peak_cores|.0f} cores busy, where the network by itself would take "
            "{network_cores|.1f}. Shrinking photos in the app before the upload saves more than any change of the "
            "model, on the wire, on disk and in cores."
        ),
        probes=("Where would you shrink them, and what does that do to training?",),
    ),
    Question(
        topic="Model",
        asks="You have a fourth stage's worth of weights to spend. Deeper or wider?",
        answer=(
            "Look at where arithmetic is. The fourth stage sees maps of one pixel: {deep_parameters} weights instead "
            "of {base_parameters}, yet {deep_multiply_adds/1e6|.1f} instead of {base_multiply_adds/1e6|.1f} million "
            "multiply-adds. Width in the first stages costs the opposite: few weights, much arithmetic. Parameters "
            "are memory, multiply-adds are time. Which of them brings accuracy has to be measured: here the fourth "
            "stage has {deep_accuracy|.3f} against {base_accuracy|.3f}, which is nothing, and the narrower network "
            "{small_accuracy|.3f}."
        ),
        probes=("Why does the time not fall as much as the multiply-adds for the narrower network?",),
    ),
    Question(
        topic="Quantisation",
        asks="What does int8 buy, and what must be checked?",
        answer=(
            "The weights take {int8_size_ratio|.1f} times fewer bytes, and the same CPU time answers "
            "{int8_speedup|.1f} times as many images in batches. It needs calibration images from training, ranges "
            "per channel, and exact pre- and post-processing. Check accuracy on validation before registering (at "
            "most half a point may be lost here), then disagreement with the champion in a shadow."
        ),
        probes=("When does int8 bring nothing?", "What would you do with a processor that has no such units?"),
    ),
    Question(
        topic="Batching",
        asks="Why not wait for full batches?",
        answer=(
            "Because the first one waits. Here a batch is what gathered while the last one was computed: a lone "
            "request waits for nobody, and batches grow with the load. In batches of thirty-two the same CPU time "
            "answers {batch_speedup|.1f} times as many images. The limit on requests under way must exceed the batch "
            "size, or batches can never fill; that is a known production failure."
        ),
        probes=("Where is the point beyond which larger batches only add latency?",),
    ),
    Question(
        topic="Training",
        asks="Your training runs on Ray at {ray_over_torchrun|.2f} of torchrun's speed. Defend it.",
        answer=(
            "On two cores it cannot be defended by speed: the bar was {asked_torchrun_ratio} and it was missed. "
            "Helper processes take some percent of a core, and workers that synchronise each step wait for the one "
            "that lost it. What it buys is recovery and placement. Beside it, the same loop is {ray_over_naive|.1f} "
            "times as fast as a naive one, from bf16, memory layout and an allocator that keeps its pages; so the "
            "first thing to look at was the loop and not the launcher."
        ),
        probes=("What would you expect on two machines with sixty-four cores each?",),
    ),
    Question(
        topic="Training",
        asks="What does a larger batch change?",
        answer=(
            "Fewer steps, each with a steadier gradient; fewer synchronisations for the same images; larger matrices "
            "for the units that multiply them. The learning rate has to go with it, and at some size accuracy falls "
            "for the same number of epochs. Prefetch matters when reading is slower than computing: here the whole "
            "set lies in memory, so there is nothing to prefetch and no figure to show."
        ),
        probes=("How would you find out whether reading is the bottleneck?",),
    ),
    Question(
        topic="Metric",
        asks="Accuracy is {accuracy|.3f}. Is the next model with half a point more better?",
        answer=(
            "The standard error is {accuracy_error_ratio*100|.2f} points, so half a point is about two of them: "
            "likely, not sure. Compare the two on the same images, where most errors are shared and cancel. And ask "
            "which classes: an average over ten classes hides that shirts are taken for other things. Money decides "
            "which confusion matters."
        ),
        probes=("When is macro F1 the better figure?",),
    ),
    Question(
        topic="Honesty",
        asks="Your CIFAR-10 figure is below what others publish for such recipes. Why?",
        answer=(
            "{cifar_gpu_accuracy|.3f} with the small network and {large_accuracy|.3f} with the large one, while "
            "{asked_cifar_accuracy} was hoped for. The copy at hand is JPEG, whose pixels are lossy. So the figures "
            "are not to be set beside published ones, and whether the recipe or the copy is at fault was not shown: "
            "the original files would show it."
        ),
        probes=("Design the experiment that tells recipe and data apart.",),
    ),
    Question(
        topic="Serving",
        asks="How much of the processor's speed arrives at the client?",
        answer=(
            "With sixty-four images a request {served_ratio|.2f} of what ONNX Runtime does alone on one thread; with "
            "one image a request {served_single_ratio|.2f}. HTTP, the proxy and the framework cost the same for a "
            "large request as for a small one. So batch where you can: the catalogue goes without a server at all."
        ),
        probes=("Why is the ratio lower with two replicas on two cores?",),
    ),
)

DRILLS = (
    Drilled(drill="steady", finds_out="whether the promise holds at the design's own load"),
    Drilled(drill="spike", finds_out="whether uploads beyond capacity are refused early"),
    Drilled(drill="offline", finds_out="how many images a second the catalogue's batches reach"),
    Drilled(drill="multi-stream", finds_out="what several images in one request cost"),
    Drilled(drill="drift", finds_out="whether dark and blurred images are noticed"),
    Drilled(drill="poison", finds_out="whether damaged files disturb anybody else"),
    Drilled(drill="kill-replica", finds_out="whether a batch that is cut off is answered elsewhere"),
    Drilled(drill="freeze-replica", finds_out="how long a whole batch waits"),
    Drilled(drill="new-version", finds_out="whether loading a larger graph beside the old one costs a request"),
)
