"""Public data sets: nothing but their folder conventions.

Each class knows the layouts in which its set is found; the first whose folders are all there is taken. `{split}`
stands for the split. Paths are below the data root. How to get each set is shown when it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lurefusion.datasets.fusion import FusionPairDataset
from lurefusion.datasets.paired import PairedDataset
from lurefusion.datasets.restoration import RestorationDataset
from lurefusion.registry import DATASETS


class _Public(PairedDataset):
    """Chooses the layout; mixed into FusionPairDataset and RestorationDataset."""

    layouts: tuple[dict[str, str], ...] = ()
    default_split = 'train'

    def __init__(self, split: str | None = None, **kwargs: Any) -> None:
        """`split` fills `{split}`; a layout without it is the whole set, and that no other split than the default."""
        whole = split in (None, self.default_split)
        split = split or self.default_split
        layouts = [layout for layout in self.layouts if whole or any('{split}' in path for path in layout.values())]
        if not layouts:
            raise ValueError(
                f'{type(self).__name__} has no splits, got split={split!r}: divide it by keep=, every= or indices='
            )
        self._candidates = [{role: path.format(split=split) for role, path in layout.items()} for layout in layouts]
        super().__init__(data_prefix=self._candidates[0], **kwargs)

    def _join_prefix(self) -> None:
        for layout in self._candidates:
            if all((Path(self.data_root) / folder).is_dir() for folder in layout.values()):
                self.data_prefix = dict(layout)
                break
        super()._join_prefix()


def _pair(name: str, how: str, *layouts: dict[str, str], split: str = 'train') -> type:
    doc = f'{name}: {how}. Folders: ' + '; or '.join(', '.join(sorted(layout.values())) for layout in layouts)
    body = dict(layouts=layouts, how_to_get=how, default_split=split, __doc__=doc, __module__=__name__)
    return DATASETS.register_module(module=type(name, (_Public, FusionPairDataset), body))


MSRS = _pair(
    'MSRS', 'github.com/Linfeng-Tang/MSRS, 1,083 train and 361 test pairs',
    dict(vi='MSRS/{split}/vi', ir='MSRS/{split}/ir'),
)  # fmt: skip
LLVIP = _pair(
    'LLVIP', 'bupt-ai-cz.github.io/LLVIP, registered street pairs at 1280x1024',
    dict(vi='LLVIP/{split}/vi', ir='LLVIP/{split}/ir'),
    dict(vi='LLVIP/visible/{split}', ir='LLVIP/infrared/{split}'),
)  # fmt: skip
M3FD = _pair(
    'M3FD', 'github.com/JinyuanLiu-CV/TarDAL, M3FD_Fusion holds the 300 pairs of the fusion test',
    dict(vi='M3FD/M3FD_Fusion/Vis', ir='M3FD/M3FD_Fusion/Ir'),
    dict(vi='M3FD/vi', ir='M3FD/ir'),
    split='test',
)  # fmt: skip
TNO = _pair(
    'TNO', 'figshare.com/articles/dataset/TNO_Image_Fusion_Dataset/1008029, sorted into two folders',
    dict(vi='TNO/vi', ir='TNO/ir'),
    dict(vi='TNO/vis', ir='TNO/ir'),
    split='test',
)  # fmt: skip
RoadScene = _pair(
    'RoadScene', 'github.com/hanna-xu/RoadScene, 221 pairs, which all are the split test as they are published',
    dict(vi='RoadScene/{split}/vi', ir='RoadScene/{split}/ir'),
    dict(vi='RoadScene/crop_LR_visible', ir='RoadScene/cropinfrared'),
    split='test',
)  # fmt: skip
M3SVD = _pair(
    'M3SVD', 'github.com/Linfeng-Tang/VideoFusion, infrared-visible video',
    dict(vi='M3SVD/{split}/visible', ir='M3SVD/{split}/infrared'),
)  # fmt: skip

EMS = _pair(
    'EMS', 'github.com/XunpengYi/EMS; sort the pairs of each degradation into these two folders',
    dict(vi='EMS/{split}/test/vi', ir='EMS/{split}/test/ir'),
    split='low_light',
)  # fmt: skip


class _Restoration(_Public, RestorationDataset):
    """A public set of restoration pairs: task and modality are known."""

    pair: tuple[str, str] = ('pd', 'vi')

    def __init__(self, split: str | None = None, **kwargs: Any) -> None:
        """`task` and `modality` are known, and may be renamed for another pair of modalities."""
        kwargs.setdefault('task', self.pair[0])
        kwargs.setdefault('modality', self.pair[1])
        super().__init__(split=split, **kwargs)


@DATASETS.register_module()
class LOL(_Restoration):
    """LOL v1 low-light pairs: LOL/our485/{low,high} (485 for training), LOL/eval15/{low,high}."""

    how_to_get = 'daooshee.github.io/BMVC2018website'
    layouts = (dict(x='LOL/{split}/low', y='LOL/{split}/high'),)
    default_split = 'our485'
    pair = ('ll', 'vi')


@DATASETS.register_module()
class RESIDE(_Restoration):
    """RESIDE haze pairs (ITS, OTS, SOTS): RESIDE/<split>/{hazy,clear|GT}; hazy `01_0.8_0.04` belongs to clear `01`."""

    how_to_get = 'sites.google.com/view/reside-dehaze-datasets'
    layouts = (
        dict(x='RESIDE/{split}/hazy', y='RESIDE/{split}/clear'),
        dict(x='RESIDE/{split}/hazy', y='RESIDE/{split}/GT'),
    )
    default_split = 'OTS'
    pair = ('hz', 'vi')

    def __init__(self, split: str | None = None, **kwargs: Any) -> None:
        super().__init__(split=split, stems='x', **kwargs)

    def find(self, role: str, key: str, files: dict[str, Path]) -> Path | None:
        """The clear picture carries the hazy name, or the part before the first underscore."""
        return files.get(key) or (files.get(key.split('_')[0]) if role == 'y' else None)


@DATASETS.register_module()
class ExposureErrors(_Restoration):
    """Exposure-Errors, only what is over-exposed (+1, +1.5 EV): <split>/INPUT_IMAGES/*_P1[.5], <split>/GT_IMAGES."""

    how_to_get = 'github.com/mahmoudnafifi/Exposure_Correction'
    layouts = (dict(x='ExposureErrors/{split}/INPUT_IMAGES', y='ExposureErrors/{split}/GT_IMAGES'),)
    default_split = 'training'
    pair = ('oe', 'vi')
    over = ('P1', 'P1.5')

    def __init__(self, split: str | None = None, **kwargs: Any) -> None:
        super().__init__(split=split, stems='x', **kwargs)

    def pair_key(self, role: str, stem: str) -> str | None:
        """Only what ends in _P1 or _P1.5."""
        return stem if stem.rsplit('_', 1)[-1] in self.over else None

    def find(self, role: str, key: str, files: dict[str, Path]) -> Path | None:
        """The target lacks the exposure suffix."""
        return files.get(key if role == 'x' else key.rsplit('_', 1)[0])


@DATASETS.register_module()
class HDRPS(_Restoration):
    """Exposure brackets of the HDR Photographic Survey: HDRPS/<split>/{over,gt}; `Cafe_2` may belong to gt `Cafe`."""

    how_to_get = 'github.com/hangxiaotian/Perceptual-Multi-exposure-Image-Fusion'
    layouts = (dict(x='HDRPS/{split}/over', y='HDRPS/{split}/gt'),)
    pair = ('oe', 'vi')

    def __init__(self, split: str | None = None, **kwargs: Any) -> None:
        super().__init__(split=split, stems='x', **kwargs)

    def find(self, role: str, key: str, files: dict[str, Path]) -> Path | None:
        """The target carries the name of the bracket, or the part before its number of frames."""
        return files.get(key) or (files.get(key.rsplit('_', 1)[0]) if role == 'y' else None)


@DATASETS.register_module()
class HDRPSUnder(HDRPS):
    """The frames of these brackets that are darker than their target: HDRPS/<split>/{under,gt}."""

    layouts = (dict(x='HDRPS/{split}/under', y='HDRPS/{split}/gt'),)
    default_split = 'brackets'
    pair = ('ll', 'vi')


@DATASETS.register_module()
class EMSLowContrast(_Restoration):
    """EMS-Full, infrared of low contrast: EMS/ir_low_contrast/<split>/{degraded,clean}."""

    how_to_get = 'github.com/XunpengYi/EMS; put its low-contrast infrared pictures into these two folders'
    layouts = (dict(x='EMS/ir_low_contrast/{split}/degraded', y='EMS/ir_low_contrast/{split}/clean'),)
    pair = ('lc', 'ir')


def _harvard(name: str, functional: str, folder: str) -> type:
    return _pair(
        name, 'med.harvard.edu/AANLIB (github.com/xianming-gu/Havard-Medical-Image-Fusion-Datasets)',
        {functional.lower(): f'Harvard/{folder}/{functional}', 'mri': f'Harvard/{folder}/MRI'},
    )  # fmt: skip


HarvardCT = _harvard('HarvardCT', 'CT', 'CT-MRI')
HarvardPET = _harvard('HarvardPET', 'PET', 'PET-MRI')
HarvardSPECT = _harvard('HarvardSPECT', 'SPECT', 'SPECT-MRI')
