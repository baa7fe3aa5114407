"""Building a data set of MMEngine collects garbage: leave the thousands of objects of imported packages out of it."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope='package', autouse=True)
def _frozen_imports() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()
