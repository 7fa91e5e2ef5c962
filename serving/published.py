"""Where the supervisor leaves what is to be served, for replicas that start later: Ray's own key-value store.

Not Serve's `user_config`, although it exists for this: Serve 2.60 takes a replica out of HAProxy's list while it
reconfigures it (`ray/serve/_private/deployment_state.py`, state UPDATING; `controller.py`, `get_target_groups`), so a
model with one replica would answer nobody for that time.
"""

import json
from dataclasses import asdict

from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

from serving.variants import Variants

_NAMESPACE = "drillyard"


def publish(model: str, variants: Variants) -> None:
    """From now on, replicas of the model that start serve these variants. Needs a connection to Ray."""
    _internal_kv_put(model, json.dumps(asdict(variants)), namespace=_NAMESPACE)


def published(model: str) -> Variants | None:
    """What replicas of the model are to serve; None until something was published. Needs a connection to Ray."""
    text = _internal_kv_get(model, namespace=_NAMESPACE)
    return Variants(**json.loads(text)) if text else None
