# syntax=docker/dockerfile:1
ARG PYTHON=3.11

# First stage: the wheel, and a virtual environment that holds it and nothing to install with.
FROM python:${PYTHON}-slim AS build
# EXTRAS=[motor] adds the Motor driver.
ARG EXTRAS=
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bridge ./bridge
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist . \
    && python -m venv --without-pip /opt/livesync-bridge \
    && wheel="$(ls /dist/*.whl)" \
    && pip --python /opt/livesync-bridge/bin/python install --no-cache-dir "${wheel}${EXTRAS}"

# Final stage: the interpreter, that environment, the configuration.
FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="livesync-bridge" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/livesync-bridge /opt/livesync-bridge
COPY config.example.yaml /etc/livesync-bridge/config.yaml
COPY pipelines /etc/livesync-bridge/pipelines
# A container is reached from outside; the admin listener stays on its loopback.
ENV PATH=/opt/livesync-bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BRIDGE_SERVER__HOST=0.0.0.0
WORKDIR /etc/livesync-bridge
USER 10001:10001
EXPOSE 8080
# Where admin.port is set in the file, and not by its environment variable, set this one too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
admin = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('BRIDGE_ADMIN__PORT', 8081)), timeout=2); \
admin.request('GET', '/health/live'); \
sys.exit(admin.getresponse().status != 200)"]
ENTRYPOINT ["livesync-bridge"]
CMD ["run", "-c", "/etc/livesync-bridge/config.yaml"]
