# docker build -t hiddenstate . && docker run --rm -p 127.0.0.1:8000:8000 -v hiddenstate:/var/lib/hiddenstate hiddenstate
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/hiddenstate
ENV PATH=/opt/hiddenstate/bin:$PATH
WORKDIR /src
# What pip installs as torch. The package carries CUDA; its CPU build, a tenth of the size, has an address of its own, which
# PyTorch's installation page gives: docker build --build-arg TORCH=<that address> .
ARG TORCH=torch==2.13.0
# hadolint ignore=DL3013
RUN pip install --no-cache-dir "$TORCH"
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY models models
COPY service service
COPY hiddenstate hiddenstate
RUN pip install --no-cache-dir -c constraints.txt '.[server,tracing]'

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --home-dir /var/lib/hiddenstate --create-home --skel /dev/null --shell /usr/sbin/nologin hiddenstate
COPY --from=build /opt/hiddenstate /opt/hiddenstate
ENV PATH=/opt/hiddenstate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HIDDENSTATE_HOST=0.0.0.0 \
    HIDDENSTATE_DATA_DIR=/var/lib/hiddenstate
# By its number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /var/lib/hiddenstate
VOLUME /var/lib/hiddenstate
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
ENTRYPOINT ["hiddenstate"]
CMD ["serve"]
