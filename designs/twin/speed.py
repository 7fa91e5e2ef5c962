"""How fast this machine is now: a virtual machine's speed changes by a factor of two within minutes."""

import json
import time
from statistics import median

_DOCUMENT = json.dumps({"rows": [[float(i) / 7 for i in range(29)] for _ in range(40)]})
_TIMES = 15


def reference_ms() -> float:
    """Median time on a core of a fixed piece of interpreter work: numbers to and from JSON, as in a replica."""
    found = []
    for _ in range(_TIMES):
        began_s = time.thread_time()
        for _ in range(5):
            json.dumps(json.loads(_DOCUMENT))
        found.append(time.thread_time() - began_s)
    return median(found) * 1000
