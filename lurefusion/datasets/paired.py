"""What every data set shares: files grouped by stem, and randomness that belongs to the sample, not to the worker."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset

from lurefusion.choices import names_of
from lurefusion.config import resolve_data_root
from lurefusion.io.pairing import describe_missing, list_images, naming_advice
from lurefusion.io.tables import read_rows
from lurefusion.registry import TRANSFORMS


class Ticket(NamedTuple):
    """What a sampler hands to a data set: which sample, and everything that its random draws depend on.

    The generator of a sample is made from (seed, position), so that the draws neither depend on the number of workers
    nor on what was drawn before: an interrupted training goes on bit for bit.
    """

    index: int
    position: int
    iteration: int
    seed: int

    @classmethod
    def plain(cls, index: int, length: int) -> Ticket:
        """Ticket of a sample that is asked for by its number alone; negative ones count from the end."""
        index = int(index) + (length if index < 0 else 0)
        if not 0 <= index < length:
            raise IndexError(f'sample {index} of {length}')
        return cls(index, index, 0, 0)


TABLE_SUFFIXES = ('.tsv', '.csv')


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Rows of a table with a header, separated by tabs (.tsv) or commas (.csv).

    Raises:
        MissingDataError: If there is no such file.
        ValueError: If it has no rows, or a row has another number of cells than the header.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f'no such table: {path}')
    columns, rows = read_rows(path)
    for line, row in rows:
        if None in row or None in row.values():
            raise ValueError(f'{path}, line {line}: the header has {len(columns)} columns, this row another number')
    if not rows:
        raise ValueError(f'{path} has a header and no rows, or nothing at all')
    return [row for _, row in rows]


def _places() -> Callable[[str | Path], str]:
    """A function that says where a file really is, whatever links and ``..`` lead there."""
    folders: dict[str, str] = {}

    def place(path: str | Path) -> str:
        folder, name = os.path.split(path)
        if os.path.islink(path):
            return os.path.realpath(path)
        # of these there are few
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    return place


class MissingDataError(FileNotFoundError):
    """Data sets that a config names and that are not on disk."""


def refuse_options(dataset: object, given: Mapping[str, Any], *names: str) -> None:
    """Refuse options that have no effect on a data set; ValueError names them."""
    if wrong := [name for name in names if given.get(name)]:
        raise ValueError(f'{type(dataset).__name__} takes no {", ".join(wrong)}')


class PairedDataset(BaseDataset):
    """Base of all data sets: one sample is one file per role, paired by stem.

    Args:
        data_prefix: Role (modality, ``x``, ``y``, ``label``, ``reference_<modality>``) -> folder below the data root.
        data_root: Root of relative folders; None: ``$LUREFUSION_DATA``, else ``data/`` in the current folder.
        pipeline: Transforms; see `lurefusion.datasets.transforms`.
        pairs: Table (.csv or .tsv) below the data root that lists the samples, instead of all files of the folders: one
            column per role, with files below the folder of that role, and perhaps `name` (else the stem of the first
            file).
        stems: ``all``: every stem must be in every folder. A role: the stems of its folder; the others may hold more.
        keep: Regular expression that the whole stem must match: a split of one folder into training and test.
        leave_out: Files of which no sample may be made, below the data root. A name that ends in .tsv or .csv is a
            table of such files: every cell counts, so that the pairs of a validation set are left out of training.
        indices: First n, or these, of the sorted samples (MMEngine).
        every: Keep every n-th of the sorted samples, before `indices`.
        test_mode: Samples carry their sources, for metrics.
        lazy_init: Do not look at the disk yet.

    Raises:
        MissingDataError: If a folder does not exist.
        FileNotFoundError: If a file has no partner, or one of `pairs` is missing; the message lists stems, or rows.
        ValueError: If a folder is empty, no sample is left, or a column is missing in `pairs`.
    """

    #: how to get the data, shown when it is missing
    how_to_get = 'see docs/datasets.md'

    def __init__(
        self,
        data_prefix: dict[str, str],
        data_root: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        pairs: str | None = None,
        stems: str = 'all',
        keep: str | None = None,
        leave_out: Sequence[str] = (),
        indices: int | Sequence[int] | None = None,
        every: int = 1,
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ) -> None:
        if stems != 'all' and stems not in data_prefix:
            raise ValueError(f"stems must be 'all' or one of the roles {tuple(data_prefix)}, got {stems!r}")
        if every < 1:
            raise ValueError(f'every must be at least 1, got {every}')
        try:
            self.keep = None if keep is None else re.compile(keep)
        except re.error as error:
            raise ValueError(f'keep={keep!r} is not a valid regular expression: {error}') from None
        if pairs is not None and stems != 'all':
            raise ValueError(f'pairs={pairs!r} lists the samples itself: leave stems={stems!r} out')
        self.pairs = pairs
        self.stems = stems
        self.leave_out = names_of('leave_out', leave_out)
        self.every = every
        super().__init__(
            data_root=str(resolve_data_root(data_root or '.')),
            data_prefix=dict(data_prefix),
            # built here, so that data sets work without a default scope too
            pipeline=[TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline],
            indices=indices,
            test_mode=test_mode,
            # a list of paths is small; to serialise it, MMEngine collects all garbage, twice for each set
            serialize_data=False,
            lazy_init=lazy_init,
            metainfo=metainfo,
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities of a sample's pictures."""
        return tuple(r for r in self.data_prefix if r != 'label' and not r.startswith('reference_'))

    def missing(self) -> list[str]:
        """Folders of this data set that are not on disk."""
        return [folder for folder in self.data_prefix.values() if not Path(folder).is_dir()]

    def full_init(self) -> None:
        """List the files.

        Raises:
            MissingDataError: See the class.
        """
        if not self._fully_initialized and (gone := self.missing()):
            raise MissingDataError(
                f'{type(self).__name__}: no such folder: {", ".join(gone)} ({self.how_to_get}; the root is set by '
                f'--data-root or $LUREFUSION_DATA)'
            )
        super().full_init()

    def load_data_list(self) -> list[dict]:
        """One entry per stem, or per row of `pairs`: `name`, `paths` (role -> file)."""
        return self._selected(self._listed() if self.pairs is not None else self._paired())

    def _selected(self, found: list[dict]) -> list[dict]:
        """Those of the samples that `keep`, `leave_out` and `every` leave."""
        found = [sample for sample in found if self._kept(sample['name'])]
        if self.leave_out:
            place = _places()
            gone = {place(file) for file in self._left_out()}
            found = [sample for sample in found if gone.isdisjoint(map(place, sample.get('paths', {}).values()))]
        if not found:
            only = f' with keep={self.keep.pattern!r}' if self.keep else ''
            raise ValueError(f'{type(self).__name__}: no file of {self.data_prefix} belongs to this data set{only}')
        return found[:: self.every]

    def _kept(self, name: str) -> bool:
        return self.keep is None or self.keep.fullmatch(name) is not None

    def _listed(self) -> list[dict]:
        path = Path(self.data_root) / self.pairs
        if not path.is_file():
            raise FileNotFoundError(f'{type(self).__name__}: no such list of pairs: {path}')
        found: list[dict] = []
        problems: list[str] = []
        rows: dict[str, int] = {}
        columns, listed = read_rows(path)
        if gone := [role for role in self.data_prefix if role not in columns]:
            raise ValueError(
                f'{path} has no column {", ".join(gone)}; it needs one for each of {", ".join(self.data_prefix)}, '
                f'and its first row names {", ".join(columns) or "none"}'
            )
        first = next(iter(self.data_prefix))
        for line, row in listed:
            name = row.get('name') or os.path.splitext(row[first] or '')[0]
            if os.path.isabs(name) or '..' in Path(name).parts:  # results are written by name: beside the sources
                name = Path(name).name
            if not self._kept(name):
                continue
            paths = {role: Path(folder) / (row[role] or '') for role, folder in self.data_prefix.items()}
            for role, file_path in paths.items():
                if not row[role]:
                    problems.append(f'row {line}, column {role}: empty')
                elif not file_path.is_file():
                    problems.append(f'row {line}, column {role}: no such file: {file_path}')
            if rows.setdefault(name, line) != line:
                problems.append(f'row {line}: the name {name} is that of row {rows[name]} too; add a column "name"')
            found.append(dict(name=name, paths={role: str(file_path) for role, file_path in paths.items()}))
        if problems:
            more = f'\n  and {len(problems) - 10} more' if len(problems) > 10 else ''
            raise FileNotFoundError(f'{path}:\n  ' + '\n  '.join(problems[:10]) + more)
        return found

    def _paired(self) -> list[dict]:
        listings = {role: list_images(folder) for role, folder in self.data_prefix.items()}
        anchors = list(listings) if self.stems == 'all' else [self.stems]
        stems = sorted({self.pair_key(role, stem) for role in anchors for stem in listings[role]} - {None})
        stems = [stem for stem in stems if self._kept(stem)]
        found: list[dict] = []
        lacking: dict[str, list[str]] = {}
        for stem in stems:
            paths = {role: self.find(role, stem, files) for role, files in listings.items()}
            for role, path in paths.items():
                if path is None:
                    lacking.setdefault(role, []).append(stem)
            found.append(dict(name=stem, paths={role: str(path) for role, path in paths.items()}))
        if lacking:
            raise FileNotFoundError(
                f'{type(self).__name__} pairs files by stem, and some have no partner:\n'
                + '\n'.join(f'  {line}' for line in describe_missing(lacking, self.data_prefix, len(stems)))
                + naming_advice({role: listings[role] for role in anchors})
            )
        return found

    def _left_out(self) -> set[Path]:
        root, gone = Path(self.data_root), set()
        for name in self.leave_out:
            table = Path(name).suffix in TABLE_SUFFIXES
            if table:
                cells = {cell for row in read_table(root / name) for cell in row.values()}
                if not any((root / cell).is_file() for cell in cells):
                    raise ValueError(
                        f'leave_out: not one cell of {root / name} is a file below {root}, so that it would leave '
                        f'nothing out'
                    )
                gone |= cells
            elif (root / name).is_file():
                gone.add(name)
            else:
                raise FileNotFoundError(f'leave_out names a file that does not exist: {root / name}')
        return {root / name for name in gone}

    def pair_key(self, role: str, stem: str) -> str | None:
        """Name of the sample that a file belongs to; None leaves the file out."""
        return stem

    def find(self, role: str, key: str, files: dict[str, Path]) -> Path | None:
        """File of a role for the sample `key`, or None."""
        return files.get(key)

    def __getitem__(self, index: int | Ticket) -> Any:
        if not self._fully_initialized:
            self.full_init()
        ticket = index if isinstance(index, Ticket) else Ticket.plain(index, len(self))
        results = self.get_data_info(ticket.index)
        results['rng'] = np.random.default_rng([ticket.seed, ticket.position])
        results['seed'] = int(results['rng'].integers(2**31))
        results['iteration'] = ticket.iteration
        results['test_mode'] = self.test_mode
        return self.pipeline(results)
