"""Wait until MLflow's database has the schema of the installed MLflow:

    MLFLOW_BACKEND_STORE_URI=postgresql://... python -m pipelines.schema

A server that starts before `mlflow db upgrade` has finished would begin the same work beside it, or refuse to start.
Exit code 4 when it has waited long enough.
"""

import os
import sys
import time

from drillyard.core.errors import DrillyardError, ServiceUnreachable, UsageError, brief

WAIT_S, _LOOK_S = 600.0, 2.0


def wait_for_schema(uri: str, wait_s: float) -> None:
    """Return when the schema is the installed MLflow's. Raises ServiceUnreachable with the last reason it was not."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _verify_schema, create_sqlalchemy_engine
    from sqlalchemy.exc import SQLAlchemyError

    deadline = time.monotonic() + wait_s
    engine = create_sqlalchemy_engine(uri)
    try:
        while True:
            try:
                _verify_schema(engine)
                return
            except (MlflowException, SQLAlchemyError) as error:
                if time.monotonic() > deadline:
                    where = engine.url.render_as_string(hide_password=True)
                    raise ServiceUnreachable("MLflow's schema", where, brief(error)) from None
            time.sleep(_LOOK_S)
    finally:
        engine.dispose()


def main() -> None:
    uri = os.environ.get("MLFLOW_BACKEND_STORE_URI")
    try:
        if not uri:
            raise UsageError("MLFLOW_BACKEND_STORE_URI", uri, "a database's address, such as postgresql://...")
        wait_for_schema(uri, WAIT_S)
    except DrillyardError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(int(error.exit_code)) from None


if __name__ == "__main__":
    main()
