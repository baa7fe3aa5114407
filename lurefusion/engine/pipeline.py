"""The training of a stage, or of every stage of a pipeline in its turn, resumable in whichever it stopped."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from lurefusion.config import at_data_root, find_config, load_stages
from lurefusion.datasets.verify import check_looks, require_good_files
from lurefusion.engine.preflight import check_data
from lurefusion.engine.stage_runner import first_process
from lurefusion.engine.train import train_stage
from lurefusion.io.images import write_bytes
from lurefusion.io.locks import sole_process
from lurefusion.weights import STAGES_FILE

#: locked in the folder of a training while it goes on
LOCK = '.training'


def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    data_root: str | Path | None = None,
    launcher: str = 'none',
    amp: bool = False,
    seed: int | None = None,
    length: float = 1.0,
    validate: bool = True,
) -> Path:
    """Train a stage, or every stage of a pipeline (see `load_stages`) in order.

    Args:
        config: File or ``lurefusion::`` name.
        work_dir: Where everything goes; default ``work_dirs/<name of the config>``. A pipeline gives each stage a
            folder in it.
        resume: Go on where the run stopped, in the stage where it stopped.
        options: Overrides; in a pipeline each stage takes those that it has.
        data_root: Root of relative data folders.
        launcher: Of MMEngine: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        amp: Mixed precision (bfloat16 on the CPU).
        seed: Overrides the config's.
        length: Factor on every count of steps, see `scale_length`.
        validate: Validate as the config says; else not at all, and validation sets need not exist.

    Returns:
        The last stage's newest checkpoint.

    Raises:
        MissingDataError: One error for everything that is not on disk, before any stage starts.
        BlockingIOError: If another process trains in the same folder.
        ValueError: If the config does not train, or pictures are of other modalities than the model's; one error for
            all files that are unreadable or do not fit, before any stage starts; or if the training diverges.
    """
    with at_data_root(data_root):
        names, cfgs = load_stages(config, options, length=length)
        for cfg in cfgs:
            if seed is not None:
                cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
            if not validate:
                cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        check_data(cfgs)
        base = Path(work_dir or Path('work_dirs') / find_config(config).stem)
        pipeline = len(cfgs) > 1 or names[0] != find_config(config).stem
        folders = [base / name if pipeline else base for name in names]
        with sole_process(base / LOCK, 'trains in') if first_process() else nullcontext():
            if first_process():
                for cfg in cfgs:
                    data = [cfg.get('train_dataloader') or {}, cfg.get('val_dataloader') or {}]
                    require_good_files(data)
                    for row in check_looks(data, cfg.model.get('chroma')):
                        print_log(row, logger='current', level=logging.WARNING)
                if pipeline:
                    write_bytes(base / STAGES_FILE, json.dumps(names).encode())
            for number, (cfg, folder) in enumerate(zip(cfgs, folders, strict=True), start=1):
                if pipeline:
                    print_log(f'stage {number} of {len(cfgs)}: {folder.name} in {folder}')
                # a pipeline that begins anew makes what its later stages hold the work of another run
                later = [] if resume else folders[number:]
                checkpoint = train_stage(cfg, folder, resume=resume, launcher=launcher, amp=amp, later=later)
            return checkpoint
