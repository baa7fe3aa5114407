import pytest

from lurefusion.evaluation.cards import card_of
from lurefusion.studies.paper_tables import PAPER_TABLES, paper_rows


def test_every_row_is_whole_and_every_column_known():
    assert {n: (len(t.rows), len(t.columns)) for n, t in PAPER_TABLES.items()} == {
        1: (8, 10), 2: (8, 10), 3: (8, 12), 4: (8, 12), 5: (10, 1), 6: (7, 9),
    }  # fmt: skip
    for table in PAPER_TABLES.values():
        for row in table.rows.values():
            assert len(row) == len(table.columns)
            assert all(float(cell) > 0 for cell in row)
        for column in table.columns:
            metric = column.partition('/')[2]
            assert metric == 'mIoU' or card_of(metric)


def test_numbers_as_printed():
    assert paper_rows(1, 'MSRS')['LURE'] == {
        'CC': 0.61, 'SCD': 1.74, 'PSNR_paper': 32.56, 'SSIM_paper': 0.49, 'MS-SSIM_paper': 0.53,
    }  # fmt: skip
    assert PAPER_TABLES[1].rows["FuB'25"][2] == '31.2'
    assert paper_rows(3, 'LC')["DAF'25"]['NIQE'] == 3.17
    assert paper_rows(6, 'LL+LC')['w/o Rule'] == {'EN': 7.053, 'SD': 48.099, 'CLIP-IQA': 0.136}
    assert paper_rows(5, 'MSRS')['LURE'] == {'mIoU': 81.22}


def test_unknown_table_or_group():
    with pytest.raises(KeyError, match='Tables 1 to 6'):
        paper_rows(7, 'MSRS')
    with pytest.raises(KeyError, match='known: TNO, RoadScene'):
        paper_rows(2, 'MSRS')
