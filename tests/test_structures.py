import pytest
import torch
from mmengine.dataset import pseudo_collate

from lurefusion.structures import FusionDataSample


def test_meta_information_and_data_fields_stay_apart():
    sample = FusionDataSample(metainfo=dict(name='0001', grey=('ir',)), pred=torch.rand(3, 4, 5))
    sample.set_metainfo(dict(ori_shape=(4, 5)))
    sample.set_data(dict(references=dict(vi=torch.rand(3, 4, 5))))
    assert sample.name == '0001'
    assert sample.ori_shape == (4, 5)
    assert 'pred' in sample
    assert 'label' not in sample
    assert sample.get('sources', {}) == {}
    assert set(sample.metainfo_keys()) == {'name', 'grey', 'ori_shape'}
    assert set(sample.keys()) == {'pred', 'references'}
    with pytest.raises(AttributeError):
        sample.task  # noqa: B018


def test_collates_to_a_list():
    samples = [FusionDataSample(metainfo=dict(name=str(i))) for i in range(2)]
    batch = pseudo_collate([dict(inputs=dict(vi=torch.zeros(3, 8, 8)), data_samples=s) for s in samples])
    assert batch['data_samples'] == samples
    assert len(batch['inputs']['vi']) == 2
