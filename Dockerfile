# The agent as a container image: docker build --tag otel-emqx-monitor .
#
# It runs as uid 10001 on a read-only root file system, and holds neither compiler nor pip. It reads
# /etc/otel-emqx-monitor/config.yaml; what it is to remember belongs into the volume
# /var/lib/otel-emqx-monitor (`state.path: /var/lib/otel-emqx-monitor/state.db`).
#
# A tag can be moved. To build on exactly what you have tested, give the base by its digest:
# --build-arg BASE=python:3.13-slim-trixie@sha256:...

ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# For those who have a mirror of PyPI, or the wheels in a folder. What comes from there has to have
# the hashes of the lock all the same.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What changes least comes first. The lock is of wheels alone: nothing is compiled, here or later.
COPY requirements/ requirements/
RUN python3 -m venv --without-pip /opt/otel-emqx-monitor \
    && python3 -m venv --without-pip /opt/tools \
    && python3 -m pip --python /opt/otel-emqx-monitor/bin/python3 install \
        --require-hashes --no-deps --only-binary :all: --no-compile -r requirements/image.txt \
    && python3 -m pip --python /opt/tools/bin/python3 install \
        --require-hashes --no-deps --only-binary :all: --no-compile -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY otel_emqx_monitor/ otel_emqx_monitor/
# The check finds a lock that lacks what pyproject.toml wants: scripts/lock writes it anew.
# Bytecode is made here, as nothing can be written later; it is never compared with the sources,
# whose dates depend on who unpacks them.
RUN /opt/tools/bin/python3 -m hatchling build --target wheel --directory dist \
    && python3 -m pip --python /opt/otel-emqx-monitor/bin/python3 install \
        --no-deps --no-index --no-compile dist/*.whl \
    && python3 -m pip --python /opt/otel-emqx-monitor/bin/python3 check \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/otel-emqx-monitor/lib


FROM ${BASE}
# The base has no bytecode of Python's own library: without it each start would compile some hundred
# modules anew. What installs packages, and parts of the library that no server needs, stay behind.
RUN python3 -m pip uninstall --yes --quiet --root-user-action ignore pip \
    && library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') \
    && rm -rf "${library}/ensurepip" \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(idlelib|lib2to3|pydoc_data|test|tkinter|turtledemo|site-packages|dist-packages)/' \
        "${library}" \
    && groupadd --gid 10001 otel-emqx-monitor \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home \
        --home-dir /var/lib/otel-emqx-monitor --shell /usr/sbin/nologin otel-emqx-monitor \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/otel-emqx-monitor \
    && install -d /etc/otel-emqx-monitor
COPY --from=build /opt/otel-emqx-monitor /opt/otel-emqx-monitor

ENV PATH=/opt/otel-emqx-monitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    OTEL_EMQX_MONITOR_CONFIG=/etc/otel-emqx-monitor/config.yaml

# Last, as they change with each build. REVISION is the commit, SOURCE the address of the sources.
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="otel-emqx-monitor" \
      org.opencontainers.image.description="Watches the MQTT clients of an EMQX broker and exports them as OpenTelemetry metrics" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"

# By number: Kubernetes' runAsNonRoot cannot know what a name stands for.
USER 10001:10001
WORKDIR /var/lib/otel-emqx-monitor
VOLUME ["/var/lib/otel-emqx-monitor"]
EXPOSE 9671
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["otel-emqx-monitor", "healthcheck"]
# Without a shell: the agent is process 1 and gets the SIGTERM that stops it, and SIGHUP.
ENTRYPOINT ["otel-emqx-monitor"]
CMD ["run"]
