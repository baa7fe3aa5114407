"""ONNX Runtime as a back-end: a file that `lurefusion export` wrote, on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lurefusion.compat import onnxruntime
from lurefusion.io.digests import file_digest
from lurefusion.prompts import PromptBank
from lurefusion.runtime.memory import ran_out
from lurefusion.runtime.passes import CoarsePass, RunOptions
from lurefusion.runtime.runner import Runner

#: layout of the metadata, key `lurefusion`; see `lurefusion.export.metadata_of`
FORMAT = 1


class OnnxRunner(Runner):
    """Runs a file of `lurefusion export`; with as many threads as PyTorch is set to.

    Its text side is the table of its tasks' vectors: prompts that are sentences are read by their words alone. It only
    fuses.

    Args:
        path: The file.
        device: ``cpu`` or None.
        chroma_from: See :class:`Runner`.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If ONNX Runtime is missing.
        ValueError: On a file that ONNX Runtime cannot read or `lurefusion export` did not write, or another device.
    """

    restores = False
    reads_sentences = False

    def __init__(
        self, path: str | os.PathLike, device: str | torch.device | None = None, chroma_from: str = 'fused'
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'no such ONNX file: {self.path}')
        if device is not None and str(device) != 'cpu':
            raise ValueError(f'ONNX Runtime is used on the CPU here, not on {str(device)!r}: leave the device out')
        if importlib.util.find_spec('onnxruntime') is None:
            raise ImportError("onnxruntime is missing: pip install 'lurefusion[export]'")
        self.session = _session(self.path)
        try:
            self._take(_metadata(self.session, self.path))
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f'{self.path} does not say how it is run ({type(error).__name__}: {error}); export the network again'
            ) from error
        self.chroma_from = chroma_from
        # the file does not change under a session that has read it
        self.digest = file_digest(self.path)

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which cannot be sent to another process: there the file is opened anew."""
        return {name: value for name, value in self.__dict__.items() if name != 'session'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.session = _session(self.path)

    def _take(self, meta: Mapping[str, Any]) -> None:
        self.name: str = meta['model']
        self.modalities = tuple(meta['modalities'])
        self.chroma = meta['chroma']
        self.size_divisor = meta['size_divisor']
        self.running = _options(meta['running'])
        if 'tasks' in meta:
            self.prompts = PromptBank(meta['tasks'], meta['words'], modalities=self.modalities, per_template=1)
            sentences = meta['sentences']
            self.vectors = {sentences[key]: torch.tensor(meta['vectors'][key]) for key in self.prompts.keys}

    @property
    def title(self) -> str:
        """Name of the model, and that of the file."""
        return f'{self.name} ({self.path.name})'

    def fingerprint(self) -> str:
        """See :class:`Runner`: the content of the file, whatever its name, and the tiles."""
        return f'onnx {self.digest} {self.running} {self.chroma_from}'

    def core(self, images: tuple[Tensor, ...], text: Tensor | None = None) -> Tensor:
        """See :class:`Runner`."""
        feeds = {name: np.ascontiguousarray(x.numpy()) for name, x in zip(self.modalities, images, strict=True)}
        if text is not None:
            feeds['text'] = text.numpy()
        # what a network does not look at is no input of its graph
        feeds = {one.name: feeds[one.name] for one in self.session.get_inputs()}
        try:
            return torch.from_numpy(self.session.run(['fused'], feeds)[0])
        except Exception as error:  # of kinds of its own
            if ran_out(said := RuntimeError(str(error))):
                raise said from None
            raise ValueError(f'{self.title}, run by ONNX Runtime: {error}') from error

    def encode_text(self, sentences: Sequence[str]) -> Tensor | None:
        """See :class:`Runner`.

        Raises:
            ValueError: On a sentence that is the canonical one of no task.
        """
        if self.prompts is None:
            return None
        for sentence in sentences:
            if sentence not in self.vectors:
                known = '; '.join(self.vectors)
                raise ValueError(f'{self.title} has no text encoder; it knows these sentences: {known}')
        return torch.stack([self.vectors[sentence] for sentence in sentences])


def _session(path: Path) -> Any:
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # threads that wait by spinning take the cores of whoever reads and writes the pictures
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:
        raise ValueError(f'{path} is no ONNX file that can be run ({path.stat().st_size} bytes): {error}') from error


def _metadata(session: Any, path: Path) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get('lurefusion')
    if text is None:
        raise ValueError(f'{path} was not written by lurefusion export: it does not say how it is run')
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: what it says of how it is run is no JSON: {error}') from error
    if meta['format'] != FORMAT:
        raise ValueError(
            f'{path} was written by lurefusion {meta["version"]} in another format; export the network again'
        )
    return meta


def _options(running: Mapping[str, Any]) -> RunOptions:
    coarse = running['coarse']
    second = None if coarse is None else CoarsePass(tuple(coarse['tasks']), coarse['size'])
    # files of before have no word on it
    levelled = running.get('levelled', False)
    return RunOptions(running['max_pixels'], running['tile'], running['overlap'], second, levelled).in_layers()
