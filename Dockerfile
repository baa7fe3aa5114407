# lurefusion in a container, without a GPU or with one.
#
#   docker build -t lurefusion .
#   docker run --rm -v "$PWD:/data" lurefusion fuse --vi /data/visible --ir /data/infrared --out /data/fused
#
# pip takes the build of PyTorch that its index offers. For another one: --build-arg PIP_EXTRA_INDEX_URL=INDEX
FROM python:3.11-slim-bookworm

# what OpenCV's wheel is linked against
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
COPY setup.py pyproject.toml constraints.txt MANIFEST.in README.md LICENSE model-index.yml ./
COPY lurefusion lurefusion
COPY configs configs
COPY tools tools
RUN PIP_CONSTRAINT=/src/constraints.txt pip install --no-cache-dir '.[video]'

# results belong to the caller with: docker run --user "$(id -u):$(id -g)" ...
RUN useradd --create-home fuse
USER fuse
WORKDIR /data
ENTRYPOINT ["lurefusion"]
CMD ["fuse", "--help"]
