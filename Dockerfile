# One image for all of SensorFlow's own services; the command says which: http-api, bridge, init, replay, ...
#
#   docker build --target services .    what compose.yaml builds: without the embedded store, since it has InfluxDB 3
#   docker build .                      with it: 70 MB of DuckDB more, and `store` works too

FROM python:3.13.16-slim-trixie AS web
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/web.txt requirements/
RUN pip install --require-hashes -r requirements/web.txt
COPY web/ web/
WORKDIR /src/web
RUN npm ci --omit=dev && npm run collect


FROM python:3.13.16-slim-trixie AS builder
# binutils is in no image that is shipped, so any version will do.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

# The libraries change rarely: their layers come before the code.
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv --without-pip /opt/sensorflow \
    && pip install --require-hashes -r requirements/build.txt \
    && pip --python /opt/sensorflow/bin/python install --require-hashes -r requirements/runtime.txt
# Off with what no service of ours loads, a third of it all: Arrow's headers, tests and file systems of other people's
# clouds, and the symbols for debuggers.
WORKDIR /opt/sensorflow/lib/python3.13/site-packages
RUN rm -r pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests \
        pyarrow/_azurefs* pyarrow/_gcsfs* pyarrow/_hdfs* pyarrow/_s3fs* pyarrow/libarrow_s3* \
        pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.* \
    && find . \( -name '*.pxd' -o -name '*.pxi' -o -name '*.pyx' \) -delete
RUN find . -name '*.so*' -type f -exec strip --strip-unneeded {} + \
    && mkdir /opt/store \
    && mv _duckdb* adbc_driver_duckdb duckdb* /opt/store

WORKDIR /src
COPY . .
COPY --from=web /src/http_api/static/ http_api/static/
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/sensorflow/bin/python install --no-deps --no-index /wheels/*.whl


FROM python:3.13.16-slim-trixie AS services
LABEL org.opencontainers.image.title="SensorFlow" \
      org.opencontainers.image.description="MQTT-bridged sensor backend: bridge, HTTP API and tools" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
# A named volume takes owner and mode of the directory that it covers first: these are the volumes of compose.yaml.
RUN groupadd --gid 10001 sensorflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin sensorflow \
    && install -d -o 10001 -g 10001 -m 0700 /data /data/mosquitto /spool /keys \
    && install -d -o 10001 -g 10001 -m 0750 /secrets \
        /secrets/bridge /secrets/grafana /secrets/http_api /secrets/influxdb /secrets/tools
COPY --from=builder /opt/sensorflow /opt/sensorflow
ENV PATH=/opt/sensorflow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["sensorflow", "health", "http-api"]
ENTRYPOINT ["sensorflow"]
CMD ["http-api"]


FROM services AS all
COPY --from=builder /opt/store /opt/sensorflow/lib/python3.13/site-packages
