"""A network's `core` as an ONNX file that runs anywhere, with all that is needed to feed it in its metadata."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lurefusion import __version__
from lurefusion.compat import onnxruntime
from lurefusion.io.images import write_bytes
from lurefusion.models.base import FusionModel
from lurefusion.models.export_forms import export_form
from lurefusion.prompts import PSEUDO_TASK
from lurefusion.prompts.builtin_tasks import TASKS
from lurefusion.runtime.onnx_runner import FORMAT
from lurefusion.weights import weights_digest

#: largest difference to PyTorch with which a file is written
TOLERANCE = 1e-4
OPSET = 18
PRECISIONS = ('fp32', 'fp16')


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file.
        nodes: Kind of node -> how many there are, nested graphs included.
        difference: Largest difference to PyTorch that the check found, in units of the picture's [0, 1].
        size: Bytes.
    """

    path: Path
    nodes: dict[str, int]
    difference: float
    size: int


def need_onnx() -> None:
    """Raise ImportError with what to install where ONNX or ONNX Runtime is missing."""
    missing = [name for name in ('onnx', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{' and '.join(missing)} are missing: pip install 'lurefusion[export]'")


class _Graph(nn.Module):
    """`core` with an argument for each input of the graph."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        count = len(self.model.modalities)
        return self.model.core(inputs[:count], inputs[count] if len(inputs) > count else None)


def export_onnx(
    model: FusionModel, path: str | os.PathLike, name: str | None = None, precision: str = 'fp32'
) -> Exported:
    """Write the `core` of a network as one ONNX file.

    Inputs: a picture (B,3,H,W) float32 in [0, 1] for each modality, by its name, height and width multiples of
    `size_divisor`; ``text`` (M,D), a vector for each modality, of networks with text. Output: ``fused`` (B,3,H,W), not
    clamped. The metadata under ``lurefusion`` is JSON: see :func:`metadata_of`.

    Args:
        model: The network; its layers stay as they are.
        path: The file, ``.onnx``.
        name: Of the model, for messages; default: its class.
        precision: ``fp32``, or ``fp16``: numbers are stored in half precision, for a smaller file; what is computed
            with them is still in single precision.

    Raises:
        ImportError: If ONNX or ONNX Runtime is missing.
        ValueError: On another suffix or precision, if the network cannot be exported, or if the graph's pictures differ
            from PyTorch's by more than 1e-4 (fp16: 5e-3); then nothing is written.
    """
    need_onnx()
    path = Path(path)
    if path.suffix != '.onnx':
        raise ValueError(f'the file must end in .onnx, got {path}')
    if precision not in PRECISIONS:
        raise ValueError(f'precision must be one of {", ".join(PRECISIONS)}; got {precision!r}')
    if next(model.parameters(), None) is None:
        raise ValueError(f'{name or type(model).__name__} has no weights: it is a formula, which is not exported')
    training = model.training
    model.eval()
    try:
        name = name or type(model).__name__
        text = table_of(model)
        data = _graph(model, text, name)
        import onnx

        proto = onnx.load_from_string(data)
        if precision == 'fp16':
            _store_as_half(proto)
        entry = proto.metadata_props.add()
        entry.key, entry.value = 'lurefusion', json.dumps(dict(metadata_of(model, name, text), precision=precision))
        proto.producer_name, proto.producer_version = 'lurefusion', __version__
        onnx.checker.check_model(proto)
        data = proto.SerializeToString()
        difference = check(model, data, text, TOLERANCE if precision == 'fp32' else 50 * TOLERANCE)
    finally:
        model.train(training)
    write_bytes(path, data)
    return Exported(path, dict(_nodes(proto.graph).most_common()), difference, len(data))


def table_of(model: FusionModel) -> dict[str, Tensor]:
    """Canonical sentence of each task -> vector (D,); empty for a network without text."""
    if model.prompts is None:
        return {}
    sentences = [model.prompts.canonical(key) for key in model.prompts.keys]
    with torch.no_grad():
        # one by one, as a runner does: what a sentence becomes does not depend on the others
        return {sentence: model.encode_text([sentence])[0].float().cpu() for sentence in sentences}


def metadata_of(model: FusionModel, name: str, table: dict[str, Tensor]) -> dict[str, Any]:
    """What a runner, or a script without lurefusion, has to know.

    Keys: `format`, `version` (of lurefusion), `model`, `digest` (of the weights), `modalities`, `chroma`,
    `size_divisor`, `running` (tiles, and `coarse`: tasks and size of a second pass), and for networks with text `tasks`
    (keys or whole tasks), `words` (by which modalities are called), `sentences` (task -> canonical sentence) and
    `vectors` (task -> D numbers).
    """
    meta: dict[str, Any] = dict(
        format=FORMAT, version=__version__, model=name, digest=weights_digest(model.state_dict()),
        modalities=list(model.modalities), chroma=model.chroma, size_divisor=model.size_divisor,
        running=asdict(model.running),
    )  # fmt: skip
    if model.prompts is not None:
        bank = model.prompts
        tasks = {key: bank.task(key) for key in bank.keys}
        meta['tasks'] = [key if TASKS.get(key) == task else asdict(task) for key, task in tasks.items()]
        meta['words'] = {modality: list(bank.words(modality)) for modality in model.modalities}
        meta['sentences'] = {key: bank.canonical(key) for key in bank.keys}
        meta['vectors'] = {key: table[bank.canonical(key)].tolist() for key in bank.keys}
    return meta


def check(model: FusionModel, data: bytes, table: dict[str, Tensor], tolerance: float) -> float:
    """Largest difference of a graph's pictures to PyTorch's, for two sizes, batches and texts.

    Raises:
        ValueError: If it is above the tolerance, or ONNX Runtime cannot run the graph.
    """
    ort = onnxruntime()
    ort.set_default_logger_severity(3)
    try:
        session = ort.InferenceSession(data, providers=['CPUExecutionProvider'])
    except Exception as error:
        raise ValueError(f'ONNX Runtime cannot read what was exported: {error}') from error
    step, device = model.size_divisor, next((p.device for p in model.parameters()), torch.device('cpu'))
    vectors, worst = list(table.values()), 0.0
    for number, (batch, height, width) in enumerate(((1, 6 * step, 5 * step), (2, step, 3 * step))):
        images = [x.to(device) for x in _examples(len(model.modalities), batch, height, width, number)]
        text = None
        if vectors:
            chosen = [vectors[(i + number) % len(vectors)] for i in range(len(images))]
            text = torch.stack(chosen).to(device)
        with torch.no_grad():
            expected = model.core(tuple(images), text).cpu().numpy()
        named = dict(zip(model.modalities, (x.cpu().numpy() for x in images), strict=True))
        try:
            if text is not None:
                named['text'] = text.cpu().numpy()
            # what a network does not look at is no input of its graph
            [found] = session.run(None, {i.name: named[i.name] for i in session.get_inputs()})
        except Exception as error:
            raise ValueError(
                f'the graph does not run at {width}x{height}, batch {batch}, so nothing is written: {error}'
            ) from error
        if found.shape != expected.shape:
            raise ValueError(f'the graph gives {found.shape} where PyTorch gives {expected.shape}; nothing is written')
        worst = max(worst, float(np.abs(found - expected).max()))
    # not "worst > tolerance", which NaN would pass
    if not worst <= tolerance:
        raise ValueError(
            f"the graph's pictures differ from PyTorch's by {worst:.2g}, more than {tolerance:g}: nothing is written. "
            f'Does core() look at values or at sizes?'
        )
    return worst


def _examples(count: int, batch: int, height: int, width: int, seed: int) -> list[Tensor]:
    """Pictures of several sizes of structure; of the second half of the modalities grey ones."""
    random = torch.Generator().manual_seed(seed)
    coarse = [torch.rand(batch, 3, 4, 4, generator=random) for _ in range(count)]
    images = [
        0.7 * nn.functional.interpolate(x, (height, width), mode='bilinear')
        + 0.3 * torch.rand(batch, 3, height, width, generator=random)
        for x in coarse
    ]
    return [x if i < (count + 1) // 2 else x[:, :1].expand(-1, 3, -1, -1).contiguous() for i, x in enumerate(images)]


@torch.no_grad()
def _graph(model: FusionModel, table: dict[str, Tensor], name: str) -> bytes:
    step, count = model.size_divisor, len(model.modalities)
    inputs = _examples(count, 2, 6 * step, 4 * step, 0)
    names = list(model.modalities)
    if table:
        inputs.append(table[model.prompts.canonical(PSEUDO_TASK)].expand(count, -1).clone())
        names.append('text')
    sides = {0: 'batch', 2: 'height', 3: 'width'}
    graph = _Graph(export_form(model)).cpu().eval()
    file = io.BytesIO()
    # PyTorch prints a graph that it cannot export, some hundred lines
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # what the tracer cannot follow is found by the check
        warnings.simplefilter('ignore')
        try:
            # with dynamo, a network of 500 layers with open sizes takes five minutes, and has no branch on a text
            traced = torch.jit.trace(graph, tuple(inputs), check_trace=False)
            torch.onnx.export(
                traced, tuple(inputs), file, dynamo=False, opset_version=OPSET, input_names=names,
                output_names=['fused'], dynamic_axes=dict.fromkeys((*model.modalities, 'fused'), sides),
            )  # fmt: skip
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(f'{name} cannot be exported: {reason[0]}') from error
    return file.getvalue()


def _nodes(graph: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for node in graph.node:
        counts[node.op_type] += 1
        for attribute in node.attribute:
            if attribute.HasField('g'):
                counts += _nodes(attribute.g)
    return counts


def _store_as_half(proto: Any) -> None:
    """Large tensors of numbers in half precision, with a node before their users that casts them back.

    ONNX Runtime does that once, when it reads the file.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None
        if values is None or values.size < 256 or np.abs(values).max() > 6e4:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f'{name}.half'))
        casts.append(helper.make_node('Cast', [f'{name}.half'], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)
