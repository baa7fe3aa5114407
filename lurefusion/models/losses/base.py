"""The base class of losses, and the set of all losses of a stage with their weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from torch import Tensor, nn

from lurefusion.choices import did_you_mean
from lurefusion.registry import LOSSES, hands_on


class Loss(nn.Module):
    """Base of all losses. `forward` takes the quantities named in `needs` and returns the unweighted 0-dim value.

    Weight, warm-up and start of every loss are set here: a member's constructor hands them on as ``**schedule``, or
    leaves them to `LossSet`, which takes them out of the config.

    Args:
        weight: Factor in the sum of the stage; ``auto:NAME`` sets it at the first training call so that the gradient
            with respect to the stage's prediction is as large as that of the loss called NAME with its weight.
        warmup: Training calls over which the weight rises linearly from 0; 0 for none.
        start: Training calls before that, in which the weight is 0.

    Raises:
        ValueError: If the weight is negative, not finite or another string; if `warmup` or `start` is negative.
    """

    needs: tuple[str, ...] = ()
    step: Tensor
    auto_weight: Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # of a loss that derives from another, the constructor of that one
        parent = next(base for base in cls.__mro__[1:] if issubclass(base, Loss))
        hands_on(Loss.schedule if parent is Loss else parent.__init__)(cls)

    def __init__(self, weight: float | str = 1.0, warmup: int = 0, start: int = 0) -> None:
        super().__init__()
        self.register_buffer('step', torch.zeros((), dtype=torch.long))
        self.schedule(weight, warmup, start)

    def schedule(self, weight: float | str = 1.0, warmup: int = 0, start: int = 0) -> None:
        """Set when the loss counts, and how much; arguments and errors as in the class."""
        self.reference: str | None = None
        self._buffers.pop('auto_weight', None)
        if isinstance(weight, str) and weight.startswith('auto:') and weight != 'auto:':
            self.reference = weight.removeprefix('auto:')
            self.register_buffer('auto_weight', torch.tensor(float('nan')))
        elif isinstance(weight, (str, bool)) or weight is None or not math.isfinite(weight) or weight < 0:
            raise ValueError(f"weight must be a number of at least 0 or 'auto:<name of a loss>', got {weight!r}")
        for name, calls in (('warmup', warmup), ('start', start)):
            if calls < 0 or calls != int(calls):
                raise ValueError(f'{name} must be a whole number of training calls, at least 0; got {calls!r}')
        self.weight = weight
        self.warmup = int(warmup)
        self.start = int(start)

    def fit(self, channels: Sequence[int], num_modalities: int) -> None:
        """Take over what follows from the model: channels of the latents, fine to coarse, and modality indices."""

    @property
    def full_weight(self) -> float | Tensor:
        """Weight after warm-up; 0 for an automatic weight that is not set yet."""
        return self.weight if self.reference is None else self.auto_weight.nan_to_num(0.0)

    @property
    def current_weight(self) -> float | Tensor:
        """Weight at the present step of the warm-up."""
        if not self.warmup and not self.start:
            return self.full_weight
        return self.full_weight * ((self.step - self.start) / max(self.warmup, 1)).clamp(0, 1)


class LossSet(nn.ModuleDict):
    """All losses of a stage.

    A loss that drowns the others is said in the log: where the mean of its weighted values over `WATCHED` training
    calls is more than `DROWNS` times the sum of theirs, once for each loss.

    Args:
        losses: Name -> config of a registered loss, a `Loss`, or None to remove the one inherited from a base config.
            `weight`, `warmup` and `start` (see `Loss`) are taken by every loss, whatever its constructor accepts.

    Raises:
        ValueError: If an automatic weight follows itself, or a loss of weight 0.
        KeyError: If a loss type, or the loss that an automatic weight follows, is unknown.
    """

    predictions = ('pred', 'fused')
    WATCHED = 20
    DROWNS = 100.0

    def __init__(self, losses: dict[str, dict | Loss | None]) -> None:
        members = {name: cfg for name, cfg in losses.items() if cfg is not None}
        super().__init__({name: m if isinstance(m, Loss) else self._build(name, m) for name, m in members.items()})
        self._sums: dict[str, Tensor] = {}
        self._calls = 0
        self._drowning: set[str] = set()
        for name, loss in self.items():
            chain = [name]
            while loss.reference is not None:
                if loss.reference not in self:
                    hint = did_you_mean(loss.reference, list(self))
                    raise KeyError(f'loss {chain[-1]!r} has weight {loss.weight!r}: there is no such loss.{hint}')
                if loss.reference in chain:
                    raise ValueError(f'automatic weights go round in a circle: {" -> ".join([*chain, loss.reference])}')
                chain.append(loss.reference)
                loss = self[loss.reference]
            if len(chain) > 1 and loss.weight == 0:
                raise ValueError(f'the weight of loss {name!r} follows loss {chain[-1]!r}, whose weight is 0')

    @staticmethod
    def _build(name: str, cfg: dict) -> Loss:
        if not isinstance(cfg, dict):
            raise TypeError(f'loss {name!r} is dict(type=...), or None to leave it out; got {cfg!r}')
        schedule = {key: cfg[key] for key in ('weight', 'warmup', 'start') if key in cfg}
        loss = LOSSES.build({key: value for key, value in cfg.items() if key not in schedule})
        if schedule:
            loss.schedule(**dict(dict(weight=loss.weight, warmup=loss.warmup, start=loss.start), **schedule))
        return loss

    def active(self) -> Iterator[tuple[str, Loss]]:
        """Names and members whose weight is not zero."""
        return ((name, loss) for name, loss in self.items() if loss.weight != 0)

    def forward(self, quantities: dict[str, Any]) -> dict[str, Tensor]:
        """Weighted values under ``loss_<name>``, for `BaseModel.parse_losses`; a loss of weight 0 is not computed.

        Half-precision quantities are brought to float32 first. In training mode the warm-up advances by one.

        Raises:
            KeyError: If a loss needs a quantity that the stage does not offer.
            ValueError: If a loss does not return a 0-dim tensor or changes what it is given, or an automatic weight has
                no gradient to go by.
        """
        offered = {name: _full_precision(value) for name, value in quantities.items()}
        values: dict[str, Tensor] = {}
        for name, loss in self.active():
            missing = [need for need in loss.needs if need not in offered]
            if missing:
                raise KeyError(
                    f'loss {name!r} ({type(loss).__name__}) needs {", ".join(loss.needs)}; this stage does not offer '
                    f'{", ".join(missing)}. It offers: {", ".join(sorted(offered))}'
                )
            before = _versions(offered)
            with torch.autocast(_device_type(offered), enabled=False):
                value = loss(**{need: offered[need] for need in loss.needs})
            if _versions(offered) != before:
                raise ValueError(
                    f'loss {name!r} ({type(loss).__name__}) changes a tensor that it is given, which the other losses '
                    f'look at, too: no operation in place (clamp_, mul_)'
                )
            if not isinstance(value, Tensor) or value.ndim != 0:
                shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ValueError(f'loss {name!r} ({type(loss).__name__}) must return a 0-dim tensor, got {shape}')
            values[name] = value
        if self.training:
            predictions = [offered[name] for name in self.predictions if name in offered]
            for name, loss in self.active():
                loss.step += 1
                self._settle(name, values, predictions)
        weighted = {name: value * self[name].current_weight for name, value in values.items()}
        if self.training:
            self._watch(weighted)
        return {f'loss_{name}': value for name, value in weighted.items()}

    def _watch(self, weighted: dict[str, Tensor]) -> None:
        for name, value in weighted.items():
            # a loss may be below 0
            self._sums[name] = self._sums.get(name, 0) + value.detach().abs()
        self._calls += 1
        if self._calls < self.WATCHED:
            return
        sums = {name: value.item() for name, value in self._sums.items()}
        for name, value in sums.items():
            others = sum(sums.values()) - value
            if others > 0 and value > self.DROWNS * others and name not in self._drowning:
                self._drowning.add(name)
                print_log(
                    f'loss {name!r} is {value / others:.0f} times the sum of the others, which hardly count beside it '
                    f'(mean of {self._calls} steps: {value / self._calls:.4g} and {others / self._calls:.4g}); '
                    f'model.losses.{name}.weight={self[name].weight!r} makes it smaller or larger',
                    logger='current',
                    level=logging.WARNING,
                )
        self._sums, self._calls = {}, 0

    def _settle(self, name: str, values: dict[str, Tensor], predictions: list[Tensor]) -> None:
        loss = self[name]
        if loss.reference is None or not loss.auto_weight.isnan():
            return
        self._settle(loss.reference, values, predictions)
        own, other = (self._gradient_norm(key, values[key], predictions) for key in (name, loss.reference))
        other = other * self[loss.reference].full_weight
        for norm in (own, other):
            all_reduce(norm, 'mean')
        ratio = other / own
        # a vanishing gradient (a batch of constant crops) says nothing: wait for the next step
        if own > 0 and other > 0 and ratio.isfinite():
            loss.auto_weight.copy_(ratio)
            print_log(f'loss {name!r}: weight {ratio.item():.4g} ({loss.weight})', logger='current')

    def _gradient_norm(self, name: str, value: Tensor, predictions: list[Tensor]) -> Tensor:
        """With respect to the first prediction that the loss looks at."""
        for prediction in predictions:
            if prediction.requires_grad and value.requires_grad:
                (gradient,) = torch.autograd.grad(value, prediction, retain_graph=True, allow_unused=True)
                if gradient is not None:
                    return gradient.norm()
        raise ValueError(
            f'an automatic weight compares gradients with respect to the prediction of the stage '
            f'({" or ".join(self.predictions)}), and loss {name!r} has none: give the weight as a number'
        )


def _full_precision(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _full_precision(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_full_precision(item) for item in value]
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def _versions(value: Any) -> list[int]:
    """How often each tensor was changed in place."""
    if isinstance(value, Tensor):
        return [0 if value.is_inference() else value._version]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [version for part in parts for version in _versions(part)]


def _device_type(quantities: dict[str, Any]) -> str:
    return next((value.device.type for value in quantities.values() if isinstance(value, Tensor)), 'cpu')
