"""Folders of pictures to a folder of fused ones."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lurefusion
from lurefusion.io.images import check_suffix, dotted
from lurefusion.io.pairing import check_output, pair_files, refuse_inside, refuse_overwrite
from lurefusion.runtime.jobs import FolderReport, Outcome, Shard, Task, parse_shard, run_job
from lurefusion.runtime.progress import Progress
from lurefusion.runtime.runner import check_batch
from lurefusion.structures import Failure, Prediction

if TYPE_CHECKING:
    from lurefusion.apis.inferencer import FusionInferencer, Prompt
    from lurefusion.prompts import Route


def fuse_folders(
    inferencer: FusionInferencer,
    folders: Mapping[str, str | os.PathLike],
    out: str | os.PathLike,
    prompt: Prompt = None,
    suffix: str = '.png',
    bit_depth: int = 8,
    batch_size: int = 1,
    patterns: Mapping[str, str] | None = None,
    recursive: bool = True,
    allow_unpaired: bool = False,
    shard: Shard | str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    tell: Callable[[Outcome, int], None] | None = None,
) -> FolderReport:
    """Fuse all pictures of several folders, paired by their names; one bad file does not stop the rest.

    What is there already and was made of the same pictures, weights and options is left as it is, so that a run which
    was interrupted goes on, however it ended. The folder remembers that in `.lurefusion`.

    Args:
        inferencer: Fuses.
        folders: Modality -> folder.
        out: Folder of the results, named by the names of the pairs; sub-folders are kept.
        prompt: For all pictures.
        suffix: File type of the results.
        bit_depth: 8, or 16 (PNG and TIFF).
        batch_size: Neighbours of one size that are run together.
        patterns, recursive, allow_unpaired: See :func:`lurefusion.io.pairing.pair_files`; what is left without a
            partner stands in `unpaired` of the report.
        shard: The part of this process, see :class:`lurefusion.runtime.jobs.Shard`; or ``'2/4'``.
        overwrite: Replace results that were made otherwise.
        dry_run: Only say what would be done.
        tell: Called for every picture, instead of showing the progress.

    Raises:
        FileNotFoundError: If a folder or a partner is missing (all are listed), before anything is fused.
        FileExistsError: If results are there that were made otherwise, and not `overwrite`.
        ValueError: If `out` is a folder of sources or a result would overwrite one, or `suffix` is unknown; if one
            transform is wanted for all and none of the pairs can be aligned.
        OSError: If `out` cannot be written to, or another process does the same part.
    """
    # range and alignment of these folders are no other call's
    inferencer = copy.copy(inferencer)
    inferencer.runner.check_names(folders)
    check_batch(batch_size)
    shard = parse_shard(shard) if isinstance(shard, str) else shard or Shard()
    suffix, out = dotted(suffix), Path(out)
    check_output(out, folder=True)
    check_output(out / f'a{suffix}', bit_depth=bit_depth)
    check_suffix(out / f'a{suffix}', bit_depth, alpha=inferencer.alpha == 'keep')
    refuse_inside(out, folders)
    routes = inferencer.route(prompt)
    pairing = pair_files(dict(folders), patterns=patterns, recursive=recursive, allow_unpaired=allow_unpaired)
    tasks = [Task(name, paths, out / f'{name}{suffix}') for name, paths in pairing.pairs.items()]
    refuse_overwrite((task.output for task in tasks), (path for task in tasks for path in task.inputs.values()))

    def fuse(todo: Iterable[Task]) -> Iterator[Prediction | Failure]:
        names, *columns = tee(todo, 1 + len(folders))
        sources = {name: _inputs(name, column) for name, column in zip(folders, columns, strict=True)}
        return inferencer.stream(routes or None, batch_size, (task.name for task in names), False, **sources)

    from lurefusion.io.shared_range import pictures_of

    files = {name: partial(pictures_of, [task.inputs[name] for task in tasks]) for name in folders}
    with ExitStack() as stack:
        stack.enter_context(inferencer.sharing_ranges(files))
        placement = inferencer.placement
        if placement is not None and placement.path is not None and not dry_run:
            if placement.alignment is None and shard.count > 1:
                raise ValueError(
                    f'{placement.path} is not there yet, and every part of the work would find another transform: fuse '
                    f'one pair first, without --shard'
                )
            stack.enter_context(inferencer.sharing_alignment(task.inputs for task in tasks))
        progress = stack.enter_context(Progress(len(shard.of(tasks))))
        settings = settings_of(inferencer, routes, bit_depth=bit_depth, alpha=inferencer.alpha)
        report = run_job(
            tasks,
            out,
            fuse,
            lambda result, path: result.save(path, bit_depth),
            settings,
            shard,
            overwrite,
            dry_run,
            tell or (lambda outcome, total: progress.step(quick=outcome.status == 'skipped')),
        )
    report.unpaired, report.unread = pairing.unpaired, pairing.unread
    return report


def settings_of(inferencer: FusionInferencer, routes: Mapping[str, Route], **more: Any) -> dict[str, Any]:
    """What results depend on beside their inputs, with `more`, for :class:`lurefusion.runtime.jobs.Records`."""
    told = inferencer.router if any(route.pending for route in routes.values()) else None
    return dict(
        version=lurefusion.__version__,
        runner=inferencer.runner.fingerprint(),
        routes={name: [route.task, route.sentence] for name, route in routes.items()},
        ranges={str(name): range_ for name, range_ in inferencer.ranges.items()},
        placement=inferencer.placement and inferencer.placement.settings(),
        auto=told and told.auto.settings(),
        **more,
    )


def _inputs(name: str, tasks: Iterable[Task]) -> Iterator[Path]:
    return (task.inputs[name] for task in tasks)
