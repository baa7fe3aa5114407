# lurefusion in a container, without a GPU or with one.
#
#   docker build -t lurefusion .
#   docker run --rm -p 127.0.0.1:7860:7860 lurefusion                                  # the page in the browser
#   docker run --rm -v "$PWD:/data" lurefusion fuse --vi /data/visible --ir /data/infrared --out /data/fused
#
# The page then is at http://127.0.0.1:7860, for this machine alone; -p 7860:7860 is for everybody who can reach it.
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
RUN PIP_CONSTRAINT=/src/constraints.txt pip install --no-cache-dir '.[demo,video]'

# results belong to the caller with: docker run --user "$(id -u):$(id -g)" ...
RUN useradd --create-home fuse
USER fuse
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["lurefusion"]
# inside of a container, its own address is that of nobody else
CMD ["demo", "--host", "0.0.0.0", "--port", "7860"]
