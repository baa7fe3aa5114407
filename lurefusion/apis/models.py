"""Networks by name: of shipped weights, of any file of weights, of a config."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log

# first: it imports mmengine.model without what only trainings need
import lurefusion.models  # noqa: F401
from lurefusion.choices import did_you_mean
from lurefusion.models.base import FusionModel
from lurefusion.plugins import load_plugins
from lurefusion.registry import MODELS
from lurefusion.runtime.torch_runner import pick_device
from lurefusion.weights import described_model, find_weights, load_weights, read_weights, shipped_weights

if TYPE_CHECKING:
    from lurefusion.apis.inferencer import Prompt
    from lurefusion.apis.reading import Picture
    from lurefusion.runtime.runner import Runner
    from lurefusion.structures import Prediction

DEFAULT_MODEL = 'lure-tiny'
RANDOM = 'random'
#: configs whose models have no weights
BASELINES = 'lurefusion::baselines/'


def list_models(patterns: str = r'.*') -> list[str]:
    """What runs by its name alone: shipped weights, and the configs of fusers without weights.

    Args:
        patterns: Regular expression that the whole name must match.
    """
    from lurefusion.config import list_configs

    names = [*shipped_weights(), *(name for name in list_configs() if name.startswith(BASELINES))]
    return [name for name in names if re.fullmatch(patterns, name)]


def init_model(
    config: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> FusionModel:
    """The network of a config, of shipped weights or of any file that says of which model it is; ready to run.

    Args:
        config: Name of shipped weights; a file of published weights or a checkpoint, which says of which model it is;
            or a config (file or ``lurefusion::`` name; of a pipeline, its last stage). None: that of `weights` if these
            say so, else ``lure-tiny``.
        weights: Checkpoint, safetensors file or folder of a run; needed with a config that has parameters, and in place
            of the model's own otherwise. ``'random'`` leaves the network untrained, to try things out.
        device: ``cpu``, ``cuda``, ``cuda:1``; None: CUDA where there is any.

    Raises:
        FileNotFoundError: If there is no such model, config or weights; says what there is.
        ValueError: If the weights do not fit, or the device is not there.
    """
    device = pick_device(device)
    # what weights and configs name may be an installed package's
    load_plugins()
    state_of = None if weights in (None, RANDOM) else find_weights(weights)
    if config is None:
        # weights of one's own bring their own network
        config = DEFAULT_MODEL if state_of is None or 'model' not in read_weights(state_of)[1] else state_of
    config = str(config)
    if config.endswith('.py'):
        from lurefusion.config import load_stages

        network = MODELS.build(load_stages(config)[1][-1].model)
        if weights is None and any(True for _ in network.parameters()):
            raise FileNotFoundError(
                f'{config} needs weights: give a checkpoint or the folder of a run (or {RANDOM!r} for an untrained '
                f'network)'
            )
    else:
        try:
            path = find_weights(config)
        except FileNotFoundError:
            shipped = shipped_weights()
            raise FileNotFoundError(
                f'{config!r} is neither a config (.py), nor a file or folder of weights, nor shipped weights.'
                f'{did_you_mean(config, list(shipped))} Shipped: {", ".join(shipped) or "none"}. With a config: '
                f'FusionInferencer(CONFIG, weights=CHECKPOINT), on the command line --model CONFIG --weights CHECKPOINT'
            ) from None
        described = described_model(path, read_weights(path)[1])
        try:
            network = MODELS.build(described)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'the model that {path} says it is of cannot be built here: {error}. If it has parts of a plug-in, '
                f'install that, or give the config that names it: --model CONFIG --weights {path}'
            ) from error
        state_of = path if weights is None else state_of
    if weights == RANDOM:
        print_log(f'{config} runs with random weights: the pictures mean nothing', logger='current')
    elif state_of is not None:
        load_weights(network, state_of)
    return network.to(device).eval()


def inference_model(
    model: FusionModel | Runner,
    pictures: Mapping[str, Picture] | Sequence[Mapping[str, Picture]],
    prompt: Prompt | Sequence[Prompt] = None,
    batch_size: int = 1,
) -> Prediction | list[Prediction]:
    """Fuse with a network of :func:`init_model`.

    Args:
        model: The network.
        pictures: Modality -> picture (see `FusionInferencer`), ``dict(vi='a.png', ir='b.png')``; or a list of these.
        prompt: As of `FusionInferencer`; with a list of pairs also a list.
        batch_size: How many pairs are run together.

    Returns:
        A :class:`Prediction`, of a list a list of these. Errors are those of calling a `FusionInferencer`. A network
        that is being trained is so afterwards.
    """
    trained = model if isinstance(model, FusionModel) and model.training else None
    try:
        return _inferred(model, pictures, prompt, batch_size)
    finally:
        if trained is not None:
            trained.train()


def _inferred(
    model: FusionModel | Runner,
    pictures: Mapping[str, Picture] | Sequence[Mapping[str, Picture]],
    prompt: Prompt | Sequence[Prompt],
    batch_size: int,
) -> Prediction | list[Prediction]:
    # it names the networks of this module
    from lurefusion.apis.inferencer import FusionInferencer

    inferencer = FusionInferencer(model)
    if isinstance(pictures, Mapping):
        return inferencer.predict(prompt, **pictures)
    pairs = list(pictures)
    for pair in pairs:
        if not isinstance(pair, Mapping):
            raise TypeError(f'a pair is a dict of modality -> picture, got {type(pair).__name__}')
        inferencer.runner.check_names(pair)
    return inferencer.predict(prompt, batch_size, **{m: [pair[m] for pair in pairs] for m in inferencer.modalities})
