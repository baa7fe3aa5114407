from __future__ import annotations

import pytest
import torch

from lurefusion.runtime.batches import common_size, stack


@pytest.mark.parametrize('channels', [1, 3])
def test_pictures_become_one_batch_of_three_channels(channels):
    levels = torch.randint(0, 256, (2, channels, 9, 11), dtype=torch.uint8)
    for images in (levels, list(levels), levels.float() / 255):
        batch = stack('vi', images)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(batch, (levels.double() / 255).float().expand(2, 3, 9, 11))


def test_what_is_no_batch_is_named():
    for images, message in (
        ([torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)], r"'vi': one batch holds sizes \[\(8, 8\), \(8, 9\)\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int32), "'vi': expected uint8 or float images, got torch.int32"),
        (torch.full((1, 3, 8, 8), float('nan')), "'vi': float images must lie in"),
        (torch.zeros(1, 4, 8, 8), "'vi': expected 1 or 3 channels .* got 4"),
    ):
        with pytest.raises(ValueError, match=message):
            stack('vi', images)
    assert common_size(dict(vi=(8, 9), ir=(8, 9))) == (8, 9)
    with pytest.raises(ValueError, match=r"one size \(height, width\), got \{'vi': \(8, 9\), 'ir': \(9, 8\)\}"):
        common_size(dict(vi=(8, 9), ir=(9, 8)))
