import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from lurefusion.datasets.paired import MissingDataError, PairedDataset, Ticket
from lurefusion.datasets.restoration import RestorationDataset
from lurefusion.io.images import write_image

LOAD = dict(type='LoadImages')


def folder(path: Path, *names: str, size: tuple[int, int] = (40, 48)) -> Path:
    for number, name in enumerate(names):
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8, endpoint=False)
        write_image(path / name, image)
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    names = [f'{i:02}.png' for i in range(7)]
    folder(tmp_path / 'vi', *names)
    folder(tmp_path / 'ir', *(name.replace('.png', '.bmp') for name in names))
    return tmp_path


def paired(root: Path, **kwargs) -> PairedDataset:
    return PairedDataset(dict(vi='vi', ir='ir'), data_root=str(root), **kwargs)


def names(dataset: PairedDataset) -> list[str]:
    return [dataset.get_data_info(i)['name'] for i in range(len(dataset))]


def test_one_sample_per_stem(root):
    dataset = paired(root)
    assert names(dataset) == [f'{i:02}' for i in range(7)]
    assert dataset.get_data_info(3)['paths'] == dict(vi=str(root / 'vi/03.png'), ir=str(root / 'ir/03.bmp'))
    assert dataset.missing() == []


def test_what_the_pipeline_gets(root):
    results = paired(root, test_mode=True)[Ticket(index=2, position=5, iteration=4, seed=9)]
    assert results['name'] == '02'
    assert results['iteration'] == 4
    assert results['test_mode'] is True
    rng = np.random.default_rng([9, 5])
    assert results['seed'] == rng.integers(2**31)
    assert results['rng'].random() == rng.random()
    assert paired(root)[2]['test_mode'] is False


def test_plain_numbers(root):
    dataset = paired(root)
    assert [results['name'] for results in dataset] == names(dataset)
    assert dataset[-1]['name'] == '06'
    assert dataset[np.int64(3)]['name'] == '03'
    assert dataset[3]['rng'].random() == dataset[3]['rng'].random() != dataset[4]['rng'].random()
    for beyond in (7, -8):
        with pytest.raises(IndexError, match='of 7'):
            dataset[beyond]


def test_nested_folders(tmp_path):
    for role in ('vi', 'ir'):
        folder(tmp_path / role, 'day/1.png', 'night/1.png')
    assert names(paired(tmp_path)) == ['day/1', 'night/1']


def test_missing_folder_says_which_and_how_to_get_it(root):
    with pytest.raises(MissingDataError) as caught:
        PairedDataset(dict(vi='vi', ir='heat', label='label'), data_root=str(root))
    message = str(caught.value)
    assert f'{root}/heat, {root}/label' in message
    assert f'{root}/vi' not in message
    assert PairedDataset.how_to_get in message
    assert '$LUREFUSION_DATA' in message
    assert issubclass(MissingDataError, FileNotFoundError)


def test_lazy_init_does_not_look(root):
    dataset = PairedDataset(dict(vi='gone'), data_root=str(root), lazy_init=True)
    assert dataset.missing() == [str(root / 'gone')]
    for use in (len, lambda d: d[0]):
        with pytest.raises(MissingDataError, match='gone'):
            use(dataset)
    folder(root / 'gone', 'a.png')
    assert dataset[0]['name'] == 'a'


def test_missing_partners_are_listed_by_role(root):
    (root / 'ir/03.bmp').unlink()
    (root / 'vi/05.png').unlink()
    (root / 'vi/06.png').unlink()
    with pytest.raises(FileNotFoundError) as caught:
        paired(root)
    assert not isinstance(caught.value, MissingDataError)
    message = str(caught.value)
    assert f'ir ({root}/ir) has no file for 1 of 7 stems: 03' in message
    assert f'vi ({root}/vi) has no file for 2 of 7 stems: 05, 06' in message


def test_empty_folder(root):
    (root / 'label').mkdir()
    with pytest.raises(ValueError, match=r'no image in .*label'):
        PairedDataset(dict(vi='vi', label='label'), data_root=str(root))


def test_sizes_that_differ_name_both_files_and_sizes(root):
    write_image(root / 'ir/04.bmp', np.zeros((40, 50, 3), np.uint8))
    dataset = paired(root, pipeline=[LOAD])
    dataset[3]
    with pytest.raises(ValueError, match=r'one size .*vi 48x40 \(.*vi/04\.png\), ir 50x40 \(.*ir/04\.bmp\)'):
        dataset[4]


def test_stems_of_one_role_let_the_others_hold_more(root):
    (root / 'ir/03.bmp').unlink()
    assert names(paired(root, stems='ir')) == ['00', '01', '02', '04', '05', '06']
    with pytest.raises(FileNotFoundError, match=r'ir \(.* for 1 of 7 stems: 03'):
        paired(root, stems='vi')
    with pytest.raises(ValueError, match=r"stems must be 'all' or one of the roles \('vi', 'ir'\), got 'x'"):
        paired(root, stems='x')


def test_names_with_marks_come_with_advice(tmp_path):
    folder(tmp_path / 'vi', '1_vis.png', '2_vis.png')
    folder(tmp_path / 'ir', '1_ir.png', '2_ir.png')
    with pytest.raises(FileNotFoundError, match=r'(.)_vis and \1_ir look like a pair: rename'):
        paired(tmp_path)


def listed(root: Path, text: str, prefix: dict | None = None, **kwargs) -> PairedDataset:
    (root / 'pairs.csv').write_text(text, encoding='utf-8')
    return PairedDataset(prefix or dict(vi='vi', ir='ir'), data_root=str(root), pairs='pairs.csv', **kwargs)


def test_pairs_as_a_list(root):
    # a byte order mark, columns in another order and more of them, names that no rule pairs
    dataset = listed(root, '\ufeffir,weather,vi\n05.bmp,rain,02.png\n01.bmp,sun,06.png\n', pipeline=[LOAD])
    assert names(dataset) == ['02', '06']
    assert dataset.get_data_info(0)['paths'] == dict(vi=str(root / 'vi/02.png'), ir=str(root / 'ir/05.bmp'))
    assert dataset[1]['images']['ir'].shape == (40, 48, 3)
    below = listed(root, 'vi,ir,name\nvi/02.png,ir/05.bmp,x\nvi/02.png,ir/01.bmp,y\n', dict(vi='', ir=''), keep='y')
    assert names(below) == ['y']
    # results are written by name: never beside the sources
    absolute = listed(root, f'vi,ir\n{root}/vi/02.png,05.bmp\n../vi/03.png,05.bmp\n')
    assert names(absolute) == ['02', '03']


@pytest.mark.parametrize(
    ('text', 'error', 'message'),
    [
        (
            'vi,infrared\n1.png,1.png\n',
            ValueError,
            r'no column ir; it needs one for each of vi, ir.*names vi, infrared',
        ),
        ('', ValueError, r'no column vi, ir; .*names none'),
        ('vi,ir\n', ValueError, 'no file of .* belongs to this data set'),
        ('vi,ir\n02.png,02.bmp\n03.png,nine.bmp\n', FileNotFoundError, r'row 3, column ir: no such file: .*nine\.bmp'),
        ('vi,ir\nno.png,no.bmp\n', FileNotFoundError, r'row 2, column vi: .*\n  row 2, column ir: '),
        ('vi,ir\n02.png\n', FileNotFoundError, 'row 2, column ir: empty'),
        ('vi,ir\n,02.bmp\n', FileNotFoundError, 'row 2, column vi: empty'),
        ('vi,ir\n02.png,02.bmp\n02.png,03.bmp\n', FileNotFoundError, 'row 3: the name 02 is that of row 2 too; add a'),
        ('vi,ir\n' + 'a.png,02.bmp\n' * 12, FileNotFoundError, 'and 13 more'),
    ],
)
def test_a_list_says_which_row_and_column_is_wrong(root, text, error, message):
    with pytest.raises(error, match=message):
        listed(root, text)


def test_a_list_with_tabs_of_which_files_are_left_out(root):
    (root / 'pairs.tsv').write_text('vi\tir\n02.png\t05.bmp\n06.png\t01.bmp\n')
    options = dict(data_prefix=dict(vi='vi', ir='ir'), data_root=str(root), pairs='pairs.tsv')
    assert names(PairedDataset(**options)) == ['02', '06']
    assert names(PairedDataset(**options, leave_out=['ir/05.bmp'])) == ['06']


def test_a_list_that_is_not_there_or_not_alone(root):
    with pytest.raises(FileNotFoundError, match=r'PairedDataset: no such list of pairs: .*gone\.csv'):
        PairedDataset(dict(vi='vi', ir='ir'), data_root=str(root), pairs='gone.csv')
    with pytest.raises(ValueError, match='lists the samples itself'):
        PairedDataset(dict(vi='vi', ir='ir'), data_root=str(root), pairs='gone.csv', stems='vi')


def test_every_and_indices(root):
    assert names(paired(root, every=3)) == ['00', '03', '06']
    assert names(paired(root, indices=2)) == ['00', '01']
    assert names(paired(root, indices=[5, 1])) == ['05', '01']
    assert names(paired(root, every=2, indices=3)) == ['00', '02', '04']
    with pytest.raises(ValueError, match='every must be at least 1, got 0'):
        paired(root, every=0)


def test_keep_splits_a_folder_by_the_names(root):
    every = names(paired(root))
    kept = names(paired(root, keep=rf'{every[0]}|{every[-1]}x*'))
    assert kept == [every[0], every[-1]]
    assert names(paired(root, keep=rf'(?!{every[0]}$).*')) == every[1:]
    with pytest.raises(ValueError, match="belongs to this data set with keep='nothing'"):
        paired(root, keep='nothing')
    with pytest.raises(ValueError, match=r"keep='\(' is not a valid regular expression"):
        paired(root, keep='(')


def test_files_are_left_out_by_name_and_by_table(root):
    every = names(paired(root))
    first, second, last = ((f'vi/{name}.png', f'ir/{name}.bmp') for name in (every[0], every[1], every[-1]))
    # one of the files of a sample is enough
    assert names(paired(root, leave_out=[first[0]])) == every[1:]
    assert names(paired(root, leave_out=[first[1], second[0]])) == every[2:]
    (root / 'val.csv').write_text(f'a,b\n{first[0]},{first[1]}\nnowhere/x.png,{last[1]}\n')
    assert names(paired(root, leave_out=['val.csv'])) == every[1:-1]
    assert names(paired(root, leave_out=['val.csv', second[0]], every=2)) == every[2:-1][::2]
    with pytest.raises(ValueError, match='belongs to this data set'):
        paired(root, keep=every[0], leave_out=['val.csv'])


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a\tb\nx\n', r'val\.tsv, line 2: the header has 2 columns'),
        ('a\tb\nx\ty\nx\ty\tz\n', r'val\.tsv, line 3: the header has 2 columns'),
        ('a\tb\n', r'val\.tsv has a header and no rows'),
        ('', r'val\.tsv has a header and no rows'),
    ],
)
def test_bad_tables(root, text, message):
    (root / 'val.tsv').write_text(text)
    with pytest.raises(ValueError, match=message):
        paired(root, leave_out=['val.tsv'])


def test_missing_tables_and_misspelt_names(root):
    with pytest.raises(MissingDataError, match=r'no such table: .*val\.tsv'):
        paired(root, leave_out=['val.tsv'])
    with pytest.raises(FileNotFoundError, match=r'leave_out names .*nowhere/x\.png'):
        paired(root, leave_out=['nowhere/x.png'])
    # files of another root leave nothing out
    (root / 'val.tsv').write_text('a\tb\nelsewhere/1.png\telsewhere/2.png\n')
    with pytest.raises(ValueError, match=r'not one cell of .*val\.tsv is a file below'):
        paired(root, leave_out=['val.tsv'])


def test_a_data_set_that_leaves_everything_out(root):
    class Picky(PairedDataset):
        def pair_key(self, role, stem):
            return None

    with pytest.raises(ValueError, match=r'Picky: no file of .* belongs to this data set'):
        Picky(dict(vi='vi'), data_root=str(root))


def test_relative_roots_start_from_the_environment(root, monkeypatch):
    monkeypatch.setenv('LUREFUSION_DATA', str(root))
    assert PairedDataset(dict(vi='vi')).data_prefix == dict(vi=str(root / 'vi'))
    monkeypatch.setenv('LUREFUSION_DATA', str(root.parent))
    dataset = PairedDataset(dict(vi='vi', ir=str(root / 'ir')), data_root=root.name)
    assert dataset.data_prefix == dict(vi=str(root / 'vi'), ir=str(root / 'ir'))
    monkeypatch.delenv('LUREFUSION_DATA')
    monkeypatch.chdir(root)
    with pytest.raises(MissingDataError, match=r'data/vi'):
        PairedDataset(dict(vi='vi'))


def restoration(root: Path) -> RestorationDataset:
    return RestorationDataset(
        dict(y='vi'),
        task='ll',
        modality='vi',
        degradation=dict(type='LowLight'),
        data_root=str(root),
        pipeline=[
            dict(type='LoadImages', cache_mb=1),
            dict(type='RandomCrop', size=[(0, 16), (3, 24)], scale=(0.5, 1)),
            dict(type='RandomFlip', vertical=0.5),
            dict(type='Degrade'),
            dict(type='PackInputs'),
        ],
    )


TICKETS = [Ticket(index=i % 7, position=i, iteration=i // 3, seed=11) for i in range(12)]


def content(item: dict) -> tuple:
    sample = item['data_samples']
    return (
        {role: tensor.numpy().tobytes() for role, tensor in item['inputs'].items()},
        {role: tuple(tensor.shape) for role, tensor in item['inputs'].items()},
        (sample.name, sample.seed, sample.degradation),
    )


def test_a_ticket_alone_decides_the_draws(root):
    forward = restoration(root)
    first = [content(forward[ticket]) for ticket in TICKETS]
    backward = restoration(root)
    second = [content(backward[ticket]) for ticket in reversed(TICKETS)][::-1]
    assert first == second
    assert first == [content(forward[ticket]) for ticket in TICKETS]
    assert {shapes['x'] for _, shapes, _ in first} == {(3, 16, 16), (3, 24, 24)}
    # position and seed matter, each
    ticket = TICKETS[4]
    other = [ticket, ticket._replace(position=5), ticket._replace(seed=12)]
    assert len({content(forward[t])[0]['x'] for t in other}) == 3


@pytest.mark.parametrize('workers', [0, 2])
def test_draws_do_not_depend_on_the_workers(root, workers):
    dataset = restoration(root)
    loader = DataLoader(dataset, sampler=TICKETS, batch_size=3, num_workers=workers, collate_fn=pseudo_collate)
    torch.manual_seed(workers)
    found = []
    for batch in loader:
        for i, sample in enumerate(batch['data_samples']):
            found.append(content(dict(inputs={r: x[i] for r, x in batch['inputs'].items()}, data_samples=sample)))
    assert found == [content(restoration(root)[ticket]) for ticket in TICKETS]


def test_survives_pickling(root):
    dataset = pickle.loads(pickle.dumps(restoration(root)))
    assert content(dataset[TICKETS[1]]) == content(restoration(root)[TICKETS[1]])
