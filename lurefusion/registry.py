"""Every registry of lurefusion, each with the contract that its members must satisfy.

Two kinds live here. The ordinary registries (`MODELS`, `DATASETS`, ...) are children of MMEngine's, so that a Runner
finds their members. The plug-in kinds (`IMAGE_ENCODERS`, `LOSSES`, ...) are parentless: a loss cannot be plugged in
where an encoder belongs, and a foreign default scope never changes what a name means. `REGISTRIES` lists them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

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
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

from lurefusion.choices import did_you_mean

SCOPE = 'lurefusion'


def hands_on(taker: Callable[..., Any]) -> Callable[[type], type]:
    """Decorator of a class whose constructor hands ``**keywords`` on to `taker`, a class or method.

    Its signature then names them, so that a registry tells which argument is misspelt.
    """

    def decorate(cls: type) -> type:
        *own, rest = inspect.signature(cls.__init__).parameters.values()
        if '__init__' not in vars(cls) or rest.kind is not inspect.Parameter.VAR_KEYWORD:
            return cls
        taken = [
            p for p in inspect.signature(taker).parameters.values() if p.name not in {'self', *(o.name for o in own)}
        ]
        keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in taken]
        # on the constructor: a class that derives from this one may have its own
        cls.__init__.__signature__ = inspect.Signature([*own, *keywords])
        return cls

    return decorate


class KindRegistry(Registry):
    """A parentless registry of one plug-in kind.

    Args:
        kind: Singular noun of the members, as in "'TGAA' is not a registered interaction".
        base: Class that members must derive from (an `nn.Module` for network parts), or None for any callable.
        locations: Modules whose import registers the built-in members.
        contract: What a member must accept and return; becomes the registry's `__doc__`.
    """

    # how else than by custom_imports a module is named
    _where_else = ''

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
        member = self.require(name) if isinstance(name, str) else name
        self._check_kind(member)
        for key, value in kwargs.items():
            cfg.setdefault(key, value)
        return self._call(member, member.__name__, *args, **cfg)

    def require(self, name: str) -> Any:
        """Member called `name`, found as in :meth:`get`.

        Raises:
            KeyError: If there is none; the message suggests the nearest one and lists all.
        """
        member = self.get(name)
        if member is not None:
            return member
        known = self.known()
        others = [other.name for other in REGISTRIES if other.name != self.name and name in members(other)]
        reason = f' It is one of another kind: {", ".join(others)}.' if others else ''
        if '.' in name:
            try:
                self._imported_by_path(name)
            except (ImportError, AttributeError) as error:
                reason = f' Importing it fails: {error}.'
        raise KeyError(
            f'{name!r} is not a registered {self.kind}.{did_you_mean(name, known)}{reason} '
            f'Known: {", ".join(known)}. A plug-in registers itself on import: name its module in custom_imports'
            f'{self._where_else}.'
        )

    def _call(self, member: Callable[..., Any], title: str, /, *args: Any, **kwargs: Any) -> Any:
        try:
            inspect.signature(member).bind(*args, **kwargs)
        except TypeError as error:
            accepted = list(inspect.signature(member).parameters)
            wrong = [k for k in kwargs if k not in accepted]
            hint = did_you_mean(wrong[0], accepted) if wrong else ''
            if others := self._accepting(wrong):
                hint += f' {", ".join(others)} accepts {", ".join(wrong)}.'
            raise TypeError(f'{self.kind} {title}: {error}.{hint} It accepts: {", ".join(accepted)}') from None
        return member(*args, **kwargs)

    def _accepting(self, arguments: Sequence[str]) -> list[str]:
        """Members that take these arguments, of which there is at least one."""
        kinds = {name: kind for name in self.known() if inspect.isclass(kind := self._module_dict[name])}
        takes = {name: inspect.signature(kind).parameters for name, kind in kinds.items()}
        return [name for name, own in takes.items() if arguments and all(key in own for key in arguments)]

    def _register_module(self, module: type, module_name: str | list[str] | None = None, force: bool = False) -> None:
        self._check_kind(module)
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        for name in names:
            other = self._module_dict.get(name)
            if other is not None and not force:
                raise KeyError(
                    f'{name!r} is already a registered {self.kind} ({_path(other)}); {_path(module)} needs another '
                    'name, or force=True to replace it'
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


class MetricRegistry(KindRegistry):
    """The registry of metrics: its members are cards, each with the function that it describes."""

    _where_else = ', or give it to --import'

    def register_module(
        self, name: str | None = None, force: bool = False, module: Any = None, **card: Any
    ) -> Callable[..., Any]:
        """Register a function, as its decorator, or a card that is already made.

        Args:
            name: Title of the column; that of the function if left out.
            force: Replace a metric of that name.
            module: A `lurefusion.evaluation.MetricCard`; then there is no `name` and no `card`.
            **card: The fields of that class, but for `name` and `function`; `aggregation` may be left out.

        Returns:
            What was registered; the decorated function stays what it is.

        Raises:
            KeyError: If the name is taken.
            TypeError: If what is registered is no function, or a field is missing or not known.
            ValueError: If a field is wrong.
        """
        if module is not None:
            self._register_module(module, force=force)
            return module

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            if not inspect.isfunction(function):
                raise TypeError(f'a {self.kind} is a function fused, ... -> (B,), got {function!r}')
            title = function.__name__ if name is None else name
            fields = {'aggregation': '', **card, 'name': title, 'function': function}
            self._register_module(self._call(self._base(), repr(title), **fields), force=force)
            return function

        return register

    def _register_module(self, module: Any, module_name: str | None = None, force: bool = False) -> None:
        self._check_kind(module)
        super()._register_module(module, module.name, force)

    def _check_kind(self, member: Any) -> None:
        if not isinstance(member, self._base()):
            raise TypeError(f'{_path(member)} is not a {self.kind}: register a function with its card, {DECORATOR}')

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """A metric is not built: FusionMetrics(metrics=[NAME], options=...) runs it."""
        raise TypeError(f'a {self.kind} is not built; name it in FusionMetrics(metrics=[...]), got {cfg!r}')

    @staticmethod
    def _imported_by_path(key: str) -> None:
        # columns of foreign tables are looked up here, and may hold dots
        raise ImportError('a metric goes by its name alone')


DECORATOR = '@MEASURES.register_module(title=..., unit=..., range=..., higher_is_better=..., needs=..., source=...)'


class _Child(Registry):
    """A child of one of MMEngine's registries, with a contract, and a base class that members must derive from."""

    def __init__(
        self,
        name: str,
        parent: Registry,
        contract: str,
        *locations: str,
        base: Callable[[], type] | None = None,
        instead: str = '',
    ) -> None:
        places = [f'lurefusion.{place}' for place in locations]
        super().__init__(name, parent=parent, scope=SCOPE, locations=places)
        self.__doc__ = contract
        self._base, self._instead = base, instead

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        base = self._base() if self._base else None
        if base is not None and not (inspect.isclass(module) and issubclass(module, base)):
            raise TypeError(
                f'{_path(module)} is not a {self.name}: it does not derive from {_path(base)}.{self._instead}'
            )
        super()._register_module(module, module_name, force)


class _Models(_Child):
    """The registry of models; those that MMEngine trains keep the contract of fusion models."""

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        # by name: MMEngine's class need not be imported to see that a data preprocessor is none
        if inspect.isclass(module) and any(base.__name__ == 'BaseModel' for base in module.__mro__):
            from lurefusion.models.base import FusionModel

            if not issubclass(module, FusionModel):
                raise TypeError(f'{_path(module)} is not a model: it does not derive from {_path(FusionModel)}')
            if missing := sorted(module.__abstractmethods__):
                raise TypeError(f'{_path(module)} is no whole model: it lacks {", ".join(missing)} of FusionModel')
        super()._register_module(module, module_name, force)


def _in(module: str, name: str) -> Callable[[], type]:
    return lambda: getattr(import_module(module), name)


MODELS = _Models(
    'model',
    MMENGINE_MODELS,
    """`lurefusion.models.base.FusionModel`: `modalities`, `chroma`, `prompts`, `size_divisor`, `running`,
    `encode_text(sentences) -> (N,D)`, `core(images, text) -> (B,3,H,W)`, and where it restores single pictures
    `restore(x, text, modality) -> (B,3,H,W)`; and, as of MMEngine's `BaseModel`,
    `forward(inputs, data_samples=None, mode='tensor' | 'predict' | 'loss')`: `loss` returns dict[str, Tensor] and
    `predict` data samples with `pred (3,H,W)` in [0,1]. Parts come from the kinds below.""",
    'models',
)
DATASETS = _Child(
    'dataset',
    MMENGINE_DATASETS,
    """`len(d)`, and `d[i] -> dict(inputs={role: (3,H,W) uint8 or float32 in [0,1]}, data_samples=FusionDataSample)`,
    where i is a number or, in trainings, a `lurefusion.datasets.paired.Ticket`, whose seed and position make all draws.
    Where files lie is a subclass of `FusionPairDataset` or `RestorationDataset`: `pair_key(role, stem) -> str | None`,
    `find(role, key, files) -> Path | None`; `get_data_info(i) -> dict(name=..., paths={role: file}, ...)`.""",
    *(f'datasets.{name}' for name in ('embedded', 'fusion', 'mix', 'public', 'restoration')),
    base=_in('torch.utils.data', 'Dataset'),
)
DATA_SAMPLERS = _Child(
    'data sampler',
    MMENGINE_DATA_SAMPLERS,
    """Constructor accepts `dataset` and `seed`. Iterating gives indices, `len(s)` says how many.""",
    'datasets.samplers',
)
TRANSFORMS = _Child(
    'transform',
    MMENGINE_TRANSFORMS,
    """`__call__(results: dict) -> dict`. After `LoadImages`, `results['images']` holds role -> (H,W,3) uint8 or float32
    in [0,1], `results['label']` is among them as (H,W); all have one size and keep it. `PackInputs` comes last.""",
    'datasets.transforms',
    'datasets.distances',
)
METRICS = _Child(
    'evaluator',
    MMENGINE_METRICS,
    """MMEngine's `BaseMetric`: `process(data_batch, data_samples)` with `pred (3,H,W)`, `sources`, `references` and
    `label` where there are any; `compute_metrics(results) -> dict[str, float]`, `<column>` -> mean over the pictures.
    A number for each picture needs none of its own: it is a metric in `MEASURES`, which `FusionMetrics` runs.""",
    'evaluation',
    base=_in('mmengine.evaluator', 'BaseMetric'),
    instead=' A function that measures pictures is registered in MEASURES.',
)
HOOKS = _Child(
    'hook',
    MMENGINE_HOOKS,
    """MMEngine's `Hook`: any of `before_run(runner)`, `before_train_iter(runner, batch_idx, data_batch)`,
    `after_train_iter(runner, batch_idx, data_batch, outputs)`, `after_test_epoch(runner, metrics)`, ...; named in
    `custom_hooks`. `priority` orders them. What it adds to a checkpoint loads with `weights_only=True`.""",
    'engine.hooks',
    'engine.keeping',
    base=_in('mmengine.hooks', 'Hook'),
)
LOOPS = _Child(
    'loop',
    MMENGINE_LOOPS,
    """Constructor accepts `runner` and `dataloader`; `run()` goes through it.""",
    'engine.loops',
)
OPTIMIZERS = _Child('optimizer', MMENGINE_OPTIMIZERS, """`torch.optim.Optimizer`: accepts `params`.""", 'engine.optim')
OPTIM_WRAPPER_CONSTRUCTORS = _Child(
    'optimizer wrapper constructor',
    MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    """Constructor accepts `optim_wrapper_cfg` and `paramwise_cfg`; `__call__(model) -> OptimWrapper`.""",
    'engine.optim',
)
PARAM_SCHEDULERS = _Child(
    'parameter scheduler',
    MMENGINE_PARAM_SCHEDULERS,
    """Constructor accepts `optimizer`; `step()` after every iteration or epoch (`by_epoch`).""",
    'engine.optim',
)
OPTIM_WRAPPERS = _Child(
    'optimizer wrapper',
    MMENGINE_OPTIM_WRAPPERS,
    """MMEngine's `OptimWrapper`: `update_params(loss)`.""",
    'engine.optim',
)
VISUALIZERS = _Child(
    'visualizer',
    MMENGINE_VISUALIZERS,
    """MMEngine's `Visualizer`: `add_datasample(name, image, ...)`.""",
    'visualization',
)
VISBACKENDS = _Child(
    'visualizer backend',
    MMENGINE_VISBACKENDS,
    """MMEngine's `BaseVisBackend`: `add_scalar(name, value, step)`, `add_image(name, image, step)`, ...""",
    'visualization',
    base=_in('mmengine.visualization', 'BaseVisBackend'),
)


def _base_of(module: str, name: str) -> Callable[[], type]:
    return _in(f'lurefusion.{module}', name)


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
    `forward(x (B,3,H,W), c (B,text_dim), m (B,)) -> list of (B,L_i,H/s_i,W/s_i)`. Optional: `extras`.""",
    ['lurefusion.models.image_encoders', 'lurefusion.models.lure_tiny'],
    base=_base_of('models.image_encoders', 'ImageEncoder'),
)
INTERACTIONS = KindRegistry(
    'interaction',
    """Blocks in which text meets image. Constructor accepts `channels: int` and `text_dim: int`.
    `forward(x (B,C,H,W), c (B,text_dim)) -> (B,C,H,W)`. For `image_encoder.identity_start`: `let_pass(count)`.""",
    ['lurefusion.models.interactions'],
    base=_base_of('models.interactions', 'Interaction'),
)
FUSERS = KindRegistry(
    'fuser',
    """Fuse the latents of all modalities. Constructor accepts `channels: tuple[int, ...]` and `num_modalities`.
    `forward(latents: list over modalities of lists over scales) -> list over scales of (B,L_i,h_i,w_i)`.""",
    ['lurefusion.models.fusion', 'lurefusion.models.lure_tiny'],
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
    ['lurefusion.models.decoders', 'lurefusion.models.lure_tiny'],
    base=_base_of('models.decoders', 'Decoder'),
)
LOSSES = KindRegistry(
    'loss',
    """Class attribute `needs: tuple[str, ...]` names the quantities of the stage that `forward` takes as keywords (see
    `lurefusion.models.losses.Loss`); returns a 0-dim tensor, unweighted. Weight and warm-up are the base class's.""",
    ['lurefusion.models.losses'],
    base=_base_of('models.losses', 'Loss'),
)
DEGRADATIONS = KindRegistry(
    'degradation',
    """`__call__(image (H,W,3) or (H,W) float32 in [0,1], rng: numpy.random.Generator, depth=None)
    -> (image of the same shape in [0,1], dict of the parameters drawn)`.""",
    ['lurefusion.datasets.degradations'],
    base=_base_of('datasets.degradations.base', 'Degradation'),
)
PROMPTERS = KindRegistry(
    'prompter',
    """Looks at a picture and says what is wrong with it. Constructor works without arguments. Attribute `tasks:
    modality -> keys`; optional `thresholds: modality -> least probability`. `__call__(picture (H,W,3) uint8 or float in
    [0,1], modality) -> dict of key -> probability`, of its tasks and of `pd`, which add up to 1.""",
    ['lurefusion.prompts.auto'],
    base=_base_of('prompts.auto', 'Prompter'),
)

MEASURES = MetricRegistry(
    'metric',
    """What measures a fused picture. `f(fused (B,1|3,H,W), ...) -> (B,)`, NaN where there is nothing to measure; its
    other arguments are what the card names in `needs`: `sources` (dict modality -> (B,1|3,H,W)), `reference`
    (B,1|3,H,W), `label` (B,H,W). Pictures are float64 in [0,1], rounded to 8 bits. Keywords with defaults are options.
    Card: title, unit, range, higher_is_better, needs, source, see `lurefusion.evaluation.MetricCard`.""",
    ['lurefusion.evaluation.cards'],
    base=_base_of('evaluation.cards', 'MetricCard'),
)

KINDS: tuple[KindRegistry, ...] = (
    TEXT_ENCODERS, IMAGE_ENCODERS, INTERACTIONS, FUSERS, FUSION_RULES, DECODERS, LOSSES, DEGRADATIONS, PROMPTERS,
    MEASURES,
)  # fmt: skip
REGISTRIES: tuple[Registry, ...] = (
    *KINDS, METRICS, DATASETS, DATA_SAMPLERS, TRANSFORMS, MODELS, HOOKS, LOOPS, OPTIMIZERS, OPTIM_WRAPPERS,
    OPTIM_WRAPPER_CONSTRUCTORS, PARAM_SCHEDULERS, VISUALIZERS, VISBACKENDS,
)  # fmt: skip


def members(registry: Registry) -> dict[str, str]:
    """Name of every member of a registry, built-in ones included -> module that it comes from; sorted by name."""
    registry.import_from_location()
    return {name: _home(member) for name, member in sorted(registry.module_dict.items())}


def _home(member: Any) -> str:
    # a card comes from where its function does; a network's has none
    return getattr(getattr(member, 'function', None) or member, '__module__', '')


def _path(member: Any) -> str:
    """`module.name` of a class or function, for messages."""
    member = getattr(member, 'function', None) or member
    name = getattr(member, '__qualname__', None)
    return f'{member.__module__}.{name}' if name else repr(member)
