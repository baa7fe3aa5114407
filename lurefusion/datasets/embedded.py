"""EmbeddedScenes: rendered street scenes as data sets, the default that needs no download."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lurefusion.choices import one_of
from lurefusion.datasets.paired import PairedDataset, refuse_options
from lurefusion.datasets.scenes import Scene, render_scene
from lurefusion.registry import DATASETS


@lru_cache(maxsize=256)
def _rendered(seed: int, size: tuple[int, int], time: str | None, difficulty: str | None) -> Scene:
    """Data sets of several tasks share the scenes."""
    return render_scene(seed, size, time, difficulty)


class _Scenes(PairedDataset):
    """Scenes number `first` to `first + num - 1`; rendered once per process and kept."""

    def __init__(
        self,
        num: int = 48,
        first: int = 0,
        size: tuple[int, int] = (192, 256),
        time: str | None = None,
        visible: str = 'vi',
        infrared: str = 'ir',
        difficulty: str | None = None,
        **kwargs: Any,
    ) -> None:
        if num < 1:
            raise ValueError(f'EmbeddedScenes needs num >= 1, got {num}')
        self.num, self.first, self.size = num, first, tuple(size)
        self.time, self.difficulty = time, difficulty
        self.names = dict(visible=visible, infrared=infrared)
        refuse_options(self, kwargs, 'pairs', 'stems', 'leave_out')
        super().__init__(data_prefix={}, **kwargs)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of both."""
        return tuple(self.names.values())

    def load_data_list(self) -> list[dict]:
        """`name` and `scene`, the seed of the picture."""
        seeds = range(self.first, self.first + self.num)
        return self._selected([dict(name=f'scene_{seed:05d}', scene=seed) for seed in seeds])

    def scene(self, seed: int) -> Scene:
        """The scene of that seed."""
        return _rendered(seed, self.size, self.time, self.difficulty)

    def pictures(self, scene: Scene) -> dict[str, np.ndarray]:
        """Modality -> (H,W,3) uint8, copies: the scene is shared."""
        infrared = np.repeat(scene.infrared[..., None], 3, axis=2)
        return {self.names['visible']: scene.visible.copy(), self.names['infrared']: infrared}


@DATASETS.register_module()
class EmbeddedScenes(_Scenes):
    """Fusion pairs with labels from rendered scenes, optionally degraded (haze with the real depth).

    Args:
        num: Number of scenes.
        first: Seed of the first one: keep training and test ranges apart.
        size: (H, W).
        time: ``day``, ``night``, or None for both.
        visible: Name of the visible modality.
        infrared: Name of the infrared modality.
        tasks: Modality -> task key that the prompts name.
        degradations: Modality -> member of DEGRADATIONS with which the transform `Degrade` spoils it.
        difficulty: ``headlights``, ``smoke``, ``bright_sky``, ``hot_targets`` or None, see :func:`render_scene`.
        **kwargs: Of :class:`PairedDataset` (pipeline, test_mode, ...).
    """

    def __init__(
        self,
        num: int = 48,
        first: int = 0,
        size: tuple[int, int] = (192, 256),
        time: str | None = None,
        visible: str = 'vi',
        infrared: str = 'ir',
        tasks: dict[str, str] | None = None,
        degradations: dict[str, dict] | None = None,
        difficulty: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.tasks = dict(tasks or {})
        self.degradations = dict(degradations or {})
        super().__init__(num, first, size, time, visible, infrared, difficulty, **kwargs)
        unknown = [name for name in self.degradations if name not in self.names.values()]
        if unknown:
            raise ValueError(f'degradations names {unknown}; the modalities are {tuple(self.names.values())}')

    def get_data_info(self, idx: int) -> dict:
        """`images`, `tasks`, and what the transforms need."""
        info = super().get_data_info(idx)
        scene = self.scene(info['scene'])
        images = self.pictures(scene)
        images['label'] = scene.label.copy()
        return dict(
            info, images=images, depth=scene.depth.copy(), tasks=dict(self.tasks), degradations=dict(self.degradations),
            paths={}, grey=(self.names['infrared'],),
        )  # fmt: skip


@DATASETS.register_module()
class EmbeddedRestoration(_Scenes):
    """Restoration pairs from rendered scenes; haze is made with the scene's real depth.

    Args:
        task: Key of the task.
        degradation: Member of DEGRADATIONS.
        modality: Name of the modality.
        **kwargs: Of :class:`EmbeddedScenes` and :class:`PairedDataset`.
    """

    def __init__(self, task: str, modality: str, degradation: dict[str, Any], **kwargs: Any) -> None:
        self.task, self.modality, self.degradation = task, modality, degradation
        super().__init__(**kwargs)
        one_of('modality', modality, tuple(self.names.values()))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The one modality."""
        return (self.modality,)

    def get_data_info(self, idx: int) -> dict:
        """`images` with y, `depth`, `task`, `modality`, `degradation`."""
        info = super().get_data_info(idx)
        scene = self.scene(info['scene'])
        return dict(
            info, images=dict(y=self.pictures(scene)[self.modality]), depth=scene.depth.copy(), task=self.task,
            modality=self.modality, degradation=self.degradation, paths={},
            grey=('x', 'y') if self.modality == self.names['infrared'] else (),
        )  # fmt: skip
