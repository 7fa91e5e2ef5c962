"""One Ray node, in the environment that it was started with, that deploys Serve config files as Ray's REST API does:

    python tests/support/cluster_node.py RAY_FOLDER

Each line of standard input names a config file; its line of standard output comes when every application runs. It ends
with its standard input.
"""

import logging
import sys
from pathlib import Path

import ray
import yaml
from ray.serve._private.api import serve_start
from ray.serve.schema import ServeDeploySchema


def main() -> None:
    ray.init(
        num_cpus=4,
        object_store_memory=200 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=sys.argv[1],
    )
    for line in sys.stdin:
        config = ServeDeploySchema.model_validate(yaml.safe_load(Path(line.strip()).read_text()))
        client = serve_start(
            http_options=config.http_options.model_dump(exclude_unset=True),
            grpc_options=config.grpc_options.model_dump(),
            global_logging_config=config.logging_config,
            proxy_location=config.proxy_location,
        )
        client.deploy_apps(config, _blocking=True)
        sys.stdout.write("deployed\n")
        sys.stdout.flush()
    ray.shutdown()


if __name__ == "__main__":
    main()
