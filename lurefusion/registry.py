"""Every registry of lurefusion, each with the contract that its members must satisfy.

Two kinds live here. The ordinary registries (`MODELS`, `DATASETS`, ...) are children of MMEngine's, so that a Runner
finds their members. The plug-in kinds (`IMAGE_ENCODERS`, `LOSSES`, ...) are parentless: a loss cannot be plugged in
where an encoder belongs, and a foreign default scope never changes what a name means.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

SCOPE = 'lurefusion'


def did_you_mean(name: str, known: list[str]) -> str:
    """The sentence `` Did you mean 'X'?`` for the nearest known name, or nothing when none is near."""

    def likeness(k: str) -> tuple[float, float]:
        folded, exact = (difflib.SequenceMatcher(None, a, b).ratio() for a, b in ((name.lower(), k.lower()), (name, k)))
        return folded, exact

    best = max(known, key=likeness, default=None)
    return f' Did you mean {best!r}?' if best is not None and likeness(best)[0] >= 0.5 else ''


class KindRegistry(Registry):
    """A parentless registry of one plug-in kind.

    Args:
        kind: Singular noun of the members, as in "'TGAA' is not a registered interaction".
        base: Class that members must derive from (an `nn.Module` for network parts), or None for any callable.
        locations: Modules whose import registers the built-in members.
        contract: What a member must accept and return; becomes the registry's `__doc__`.
    """

    def __init__(self, kind: str, contract: str, locations: list[str], base: Callable[[], type] | None = None) -> None:
        super().__init__(kind, scope=f'{SCOPE}-{kind.replace(" ", "-")}', locations=locations)
        self.kind = kind
        self.__doc__ = contract
        self._base = base

    def known(self) -> list[str]:
        """Names of all members, built-in ones included."""
        self.import_from_location()
        return sorted(self._module_dict)

    def get(self, key: str) -> type | None:
        """Member called `key`; also a dotted import path, or `scope.Name` of an MMEngine model. None when unknown."""
        self.import_from_location()
        if key in self._module_dict:
            return self._module_dict[key]
        if '.' not in key:
            return None
        try:
            return self._imported_by_path(key)
        except (ImportError, AttributeError):
            return None

    @staticmethod
    def _imported_by_path(key: str) -> type | None:
        scope = key.partition('.')[0]
        if scope in ('mmengine', 'mmpretrain', 'mmseg', 'mmdet', 'mmagic'):
            import_module(scope)
            return MMENGINE_MODELS.get(key)
        module, _, attribute = key.rpartition('.')
        return getattr(import_module(module), attribute)

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build a member from `dict(type=name | class | dotted path, ...)` or from its bare name.

        Raises:
            TypeError: If `cfg` is neither, or the class found is of another kind or refuses the arguments.
            KeyError: If the name is unknown; the message suggests the nearest one and lists all.
        """
        if isinstance(cfg, str):
            cfg = dict(type=cfg)
        if not isinstance(cfg, dict) or 'type' not in cfg:
            raise TypeError(f'a {self.kind} is built from dict(type=...), got {cfg!r}')
        cfg = dict(cfg)
        # MMEngine marks what comes from `package::` bases; a kind has one scope
        cfg.pop('_scope_', None)
        name = cfg.pop('type')
        member = self.get(name) if isinstance(name, str) else name
        if member is None:
            known = self.known()
            others = [kind.kind for kind in KINDS if kind.kind != self.kind and name in kind.known()]
            reason = f' It is one of another kind: {", ".join(others)}.' if others else ''
            if '.' in name:
                try:
                    self._imported_by_path(name)
                except (ImportError, AttributeError) as error:
                    reason = f' Importing it fails: {error}.'
            raise KeyError(
                f'{name!r} is not a registered {self.kind}.{did_you_mean(name, known)}{reason} '
                f'Known: {", ".join(known)}. A plug-in registers itself on import: name its module in custom_imports.'
            )
        self._check_kind(member)
        for key, value in kwargs.items():
            cfg.setdefault(key, value)
        try:
            inspect.signature(member).bind(*args, **cfg)
        except TypeError as error:
            accepted = list(inspect.signature(member).parameters)
            wrong = [k for k in cfg if k not in accepted]
            hint = did_you_mean(wrong[0], accepted) if wrong else ''
            raise TypeError(
                f'{self.kind} {member.__name__}: {error}.{hint} It accepts: {", ".join(accepted)}'
            ) from None
        return member(*args, **cfg)

    def _register_module(self, module: type, module_name: str | list[str] | None = None, force: bool = False) -> None:
        self._check_kind(module)
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in names:
            other = self._module_dict.get(name)
            if other is not None and not force:
                raise KeyError(
                    f'{name!r} is already a registered {self.kind} ({other.__module__}.{other.__qualname__}); '
                    f'{module.__module__}.{module.__qualname__} needs another name, or force=True to replace it'
                )
            self._module_dict[name] = module

    def _check_kind(self, member: Any) -> None:
        if not callable(member):
            raise TypeError(f'a {self.kind} is a class, got {member!r}')
        if self._base is None:
            return
        base = self._base()
        if not (inspect.isclass(member) and issubclass(member, base)):
            raise TypeError(
                f'{getattr(member, "__name__", member)!r} is not a {self.kind}: it does not derive from '
                f'{base.__module__}.{base.__qualname__}'
            )


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=[f'lurefusion.{place}' for place in locations])


MODELS = _child('model', MMENGINE_MODELS, 'models')
DATASETS = _child(
    'dataset', MMENGINE_DATASETS,
    *(f'datasets.{name}' for name in ('embedded', 'fusion', 'mix', 'public', 'restoration')),
)  # fmt: skip
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'datasets.samplers')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'datasets.transforms')
METRICS = _child('metric', MMENGINE_METRICS, 'evaluation')
HOOKS = _child('hook', MMENGINE_HOOKS, 'engine.hooks')
LOOPS = _child('loop', MMENGINE_LOOPS, 'engine.loops')
OPTIMIZERS = _child('optimizer', MMENGINE_OPTIMIZERS, 'engine.optim')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'engine.optim'
)
PARAM_SCHEDULERS = _child('parameter scheduler', MMENGINE_PARAM_SCHEDULERS, 'engine.optim')
OPTIM_WRAPPERS = _child('optim_wrapper', MMENGINE_OPTIM_WRAPPERS, 'engine.optim')
VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'visualization')


def _base_of(module: str, name: str) -> Callable[[], type]:
    return lambda: getattr(import_module(f'lurefusion.{module}'), name)


TEXT_ENCODERS = KindRegistry(
    'text encoder',
    """Frozen language models. Constructor: any keywords. Attribute `dim: int` (D_lm). `embed(list[str]) -> (B, D_lm)`
    float32 without gradient; nothing of the language model enters the checkpoint.""",
    ['lurefusion.models.text_encoders'],
    base=_base_of('models.text_encoders', 'TextBackbone'),
)
IMAGE_ENCODERS = KindRegistry(
    'image encoder',
    """Constructor accepts `text_dim: int` and `num_modalities: int`. Attributes `out_channels: tuple[int, ...]` and
    `strides: tuple[int, ...]`, fine to coarse.
    `forward(x (B,3,H,W), c (B,text_dim), m (B,)) -> list of (B,L_i,H/s_i,W/s_i)`.""",
    ['lurefusion.models.image_encoders'],
    base=_base_of('models.image_encoders', 'ImageEncoder'),
)
INTERACTIONS = KindRegistry(
    'interaction',
    """Blocks in which text meets image. Constructor accepts `channels: int` and `text_dim: int`.
    `forward(x (B,C,H,W), c (B,text_dim)) -> (B,C,H,W)`.""",
    ['lurefusion.models.interactions'],
    base=_base_of('models.interactions', 'Interaction'),
)
FUSERS = KindRegistry(
    'fuser',
    """Fuse the latents of all modalities. Constructor accepts `channels: tuple[int, ...]` and `num_modalities`.
    `forward(latents: list over modalities of lists over scales) -> list over scales of (B,L_i,h_i,w_i)`.""",
    ['lurefusion.models.fusion'],
    base=_base_of('models.fusion', 'Fuser'),
)
FUSION_RULES = KindRegistry(
    'fusion rule',
    """Parameter-free priors. `forward(z: list over modalities of (B,L,h,w)) -> (B,L,h,w)`.""",
    ['lurefusion.models.fusion'],
    base=_base_of('models.fusion', 'FusionRule'),
)
DECODERS = KindRegistry(
    'decoder',
    """Constructor accepts `channels: tuple[int, ...]` and `strides: tuple[int, ...]` of the latents, fine to coarse.
    `forward(list of (B,L_i,H/s_i,W/s_i)) -> (B,3,H,W)`, not clamped.""",
    ['lurefusion.models.decoders'],
    base=_base_of('models.decoders', 'Decoder'),
)
LOSSES = KindRegistry(
    'loss',
    """Constructor accepts `weight: float`. Class attribute `needs: tuple[str, ...]` names the quantities of the stage
    that `forward` takes as keywords (see `lurefusion.models.losses.Loss`); returns a 0-dim tensor, unweighted.""",
    ['lurefusion.models.losses'],
    base=_base_of('models.losses', 'Loss'),
)
DEGRADATIONS = KindRegistry(
    'degradation',
    """`__call__(image (H,W,3) or (H,W) float32 in [0,1], rng: numpy.random.Generator, depth=None)
    -> (image of the same shape in [0,1], dict of the parameters drawn)`.""",
    ['lurefusion.datasets.degradations'],
    base=_base_of('datasets.degradations', 'Degradation'),
)

KINDS: tuple[KindRegistry, ...] = (
    TEXT_ENCODERS, IMAGE_ENCODERS, INTERACTIONS, FUSERS, FUSION_RULES, DECODERS, LOSSES, DEGRADATIONS,
)  # fmt: skip

_plugins_loaded = False


def load_plugins() -> None:
    """Import every installed package that declares an entry point in the group ``lurefusion.plugins``.

    A plug-in that fails to import is reported with its own error; the core goes on without it.
    """
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for point in entry_points(group='lurefusion.plugins'):
        try:
            point.load()
        except Exception:
            import logging
            import traceback

            print_log(
                f'plug-in {point.name!r} ({point.value}) failed to import and is left out:\n{traceback.format_exc()}',
                logger='current',
                level=logging.ERROR,
            )
