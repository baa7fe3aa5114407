"""Fuse a pair with ONNX Runtime and OpenCV alone: python demo/onnx_fuse.py FILE.onnx VI IR OUT [TASK_OF_VI TASK_OF_IR]

FILE.onnx is what `lurefusion export` wrote; tasks: ll hz oe lc sr pd; pd (default): nothing is degraded. Pictures are
run whole, without the second pass that `lurefusion fuse` makes of haze (lure-fast: and of low contrast).
"""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np

os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')  # it reports to its makers
import onnxruntime


def main(model: str, vi: str, ir: str, out: str, task_vi: str = 'pd', task_ir: str = 'pd') -> None:
    if gone := [path for path in (model, vi, ir) if not Path(path).is_file()]:
        sys.exit(f'error: there is no file {gone[0]}')
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    meta = json.loads(session.get_modelmeta().custom_metadata_map['lurefusion'])
    images = [cv2.imread(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH) for path in (vi, ir)]
    if images[0] is None or images[1] is None or images[0].shape != images[1].shape:
        sys.exit('error: two pictures of one size are needed')
    if any(image.dtype != np.uint8 for image in images):
        sys.exit('error: pictures of 8 bit are needed: lurefusion fuse takes those of more, by --range')
    height, width = images[0].shape[:2]
    bottom, right = -height % meta['size_divisor'], -width % meta['size_divisor']
    feeds = {}
    for name, image in zip(meta['modalities'], images, strict=True):
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
        feeds[name] = image.transpose(2, 0, 1)[None].astype(np.float32) / 255
    if 'vectors' in meta:
        if unknown := {task_vi, task_ir} - {*meta['vectors']}:
            sys.exit(f'error: unknown task {unknown.pop()!r}; there are {" ".join(meta["vectors"])}')
        feeds['text'] = np.array([meta['vectors'][task] for task in (task_vi, task_ir)], np.float32)
    fused = session.run(['fused'], feeds)[0][0, :, :height, :width].transpose(1, 2, 0)
    owner = images[meta['modalities'].index(meta['chroma'] or meta['modalities'][0])]
    if (owner == owner[..., :1]).all():  # where it is grey, so is the result
        fused = fused.clip(0, 1).mean(axis=2, keepdims=True).repeat(3, axis=2)
    if not cv2.imwrite(out, cv2.cvtColor((fused.clip(0, 1) * 255).round().astype(np.uint8), cv2.COLOR_RGB2BGR)):
        sys.exit(f'error: cannot write {out}')
    print(out)


if __name__ == '__main__':
    main(*sys.argv[1:]) if len(sys.argv) in (5, 6, 7) else sys.exit(__doc__)
