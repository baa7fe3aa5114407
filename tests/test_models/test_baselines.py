import numpy as np
import pytest
import torch

from lurefusion.models.baselines import (
    METHODS,
    BaselineFuser,
    fuse_laplacian_pyramid,
)
from lurefusion.registry import MODELS
from lurefusion.structures import FusionDataSample


def pair(height=37, width=50, seed=0):
    rng = np.random.default_rng(seed)
    vi = torch.from_numpy(rng.integers(0, 256, (2, 3, height, width)) / 255.0).float()
    ir = torch.from_numpy(rng.integers(0, 256, (2, 1, height, width)) / 255.0).float().expand(-1, 3, -1, -1)
    return {'vi': vi, 'ir': ir}


def test_pyramid_of_equal_images_is_the_image():
    x = torch.rand(1, 1, 40, 33, dtype=torch.float64)
    torch.testing.assert_close(fuse_laplacian_pyramid([x, x]), x)


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('chroma', ['vi', None])
def test_shape_range_and_equal_inputs(method, chroma):
    inputs = pair()
    model = MODELS.build(dict(type='BaselineFuser', method=method, chroma=chroma))
    fused = model(inputs)
    assert fused.shape == (2, 3, 37, 50)
    assert fused.dtype == torch.float32
    assert fused.min() >= 0
    assert fused.max() <= 1
    assert not list(model.parameters())
    same = model({'vi': inputs['vi'], 'ir': inputs['vi']})
    # chroma through 8 bit moves a channel by at most two levels
    assert (same - inputs['vi']).abs().max() <= 2.01 / 255
    exact = BaselineFuser(method, chroma=chroma, eight_bit=False)
    torch.testing.assert_close(exact({'vi': inputs['vi'], 'ir': inputs['vi']}), inputs['vi'], atol=2e-5, rtol=0)


def test_average_rounds_half_a_level_up_and_max_is_the_maximum():
    grey = {m: torch.tensor(v)[None, None].expand(1, 3, 1, 4) / 255 for m, v in
            (('vi', [[0.0, 1, 3, 255]]), ('ir', [[1.0, 1, 0, 254]]))}  # fmt: skip
    levels = {m: torch.round(BaselineFuser(m)(grey)[0, 0] * 255).tolist() for m in ('average', 'max')}
    assert levels == {'average': [[1, 1, 2, 255]], 'max': [[1, 1, 3, 255]]}


def test_any_number_of_modalities_and_the_owner_of_the_chroma():
    colour = pair()['vi']
    grey = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    model = BaselineFuser('average', modalities=('mri', 'pet', 'ct'), chroma='pet', eight_bit=False)
    fused = model({'mri': grey, 'pet': colour, 'ct': grey})
    other = BaselineFuser('average', modalities=('mri', 'pet', 'ct'), chroma='mri')(
        {'mri': grey, 'pet': colour, 'ct': grey}
    )
    assert (other.amax(1) - other.amin(1)).max() < 0.5 / 255
    assert (fused.amax(1) - fused.amin(1)).mean() > 0.1


def test_predict_fills_the_samples_at_their_own_size():
    inputs = pair(40, 56)
    samples = [FusionDataSample(metainfo=dict(ori_shape=(37, 50), name=str(i))) for i in range(2)]
    model = BaselineFuser('lap_pyramid')
    out = model(inputs, samples, mode='predict')
    expected = model({m: x[..., :37, :50] for m, x in inputs.items()})
    for i, sample in enumerate(out):
        torch.testing.assert_close(sample.pred, expected[i])
    plain = BaselineFuser('max')(inputs, mode='predict')
    assert [tuple(s.pred.shape) for s in plain] == [(3, 40, 56)] * 2


def test_mistakes():
    inputs = pair()
    model = BaselineFuser('max')
    with pytest.raises(ValueError, match='no weights to train'):
        model(inputs, mode='loss')
    with pytest.raises(ValueError, match="got 'test'"):
        model(inputs, mode='test')
    with pytest.raises(ValueError, match='lack the modality ir: the model takes vi, ir, they hold vi'):
        model({'vi': inputs['vi']})
    with pytest.raises(ValueError, match='one shape'):
        model({'vi': inputs['vi'], 'ir': inputs['ir'][..., :-1]})
    with pytest.raises(ValueError, match="Did you mean 'average'"):
        BaselineFuser('avrage')
    with pytest.raises(ValueError, match='chroma must be one of the modalities'):
        BaselineFuser(modalities=('mri', 'ct'))
    with pytest.raises(ValueError, match='two or more'):
        BaselineFuser(modalities=('vi',))
    with pytest.raises(ValueError, match='at least 17 pixels, got 16x50'):
        BaselineFuser('lap_pyramid')({m: x[:, :, :16] for m, x in inputs.items()})
