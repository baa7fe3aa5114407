"""The rows of the tables of the LURE paper, as printed.

Groups are the data sets (Tables 1, 2, 5) or tasks (Tables 3, 4, 6): LL low light, HZ haze, OE over-exposure, LC low
contrast, SR4 and SR8 super-resolution. The paper's PS, SS and MS are the `paper` variants of PSNR, SSIM and MS-SSIM;
its "NUSIQ" is MUSIQ in a range of its own (4 to 7), unlike pyiqa's 0 to 100. In Table 4 the SD columns of OE+LC and
LL+LC are equal in seven of eight rows: the values belong to LL+LC.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        title: What it shows.
        columns: `group/metric` per column.
        rows: Method -> the printed numbers, in the order of the columns.
    """

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]


def _table(title: str, columns: str, text: str) -> PaperTable:
    rows = {}
    for line in text.strip().splitlines():
        name, _, numbers = line.partition(':')
        rows[name.strip()] = tuple(numbers.split())
    return PaperTable(title, tuple(columns.split()), rows)


PAPER_TABLES: dict[int, PaperTable] = {
    1: _table(
        'vanilla fusion, MSRS and M3FD',
        'MSRS/CC MSRS/SCD MSRS/PSNR_paper MSRS/SSIM_paper MSRS/MS-SSIM_paper M3FD/CC M3FD/SCD M3FD/PSNR_paper '
        'M3FD/SSIM_paper M3FD/MS-SSIM_paper',
        """
        DCI'23 : 0.58 1.49 32.54 0.36 0.45 0.59 1.37 31.97 0.49 0.49
        CSC'23 : 0.53 0.92 31.83 0.16 0.28 0.58 1.67 30.47 0.43 0.48
        MMD'24 : 0.61 1.53 32.47 0.48 0.52 0.62 1.40 31.13 0.49 0.50
        GTM'24 : 0.60 1.61 31.64 0.42 0.50 0.59 1.52 30.34 0.24 0.41
        FuB'25 : 0.67 1.53  31.2 0.34 0.50 0.59 1.53 29.61 0.40 0.47
        TIF'24 : 0.60 1.68 32.29 0.48 0.52 0.58 1.41 31.67 0.48 0.48
        DAF'25 : 0.66 1.58 28.80 0.26 0.41 0.63 1.75 30.51 0.42 0.46
        LURE   : 0.61 1.74 32.56 0.49 0.53 0.64 1.68 32.12 0.50 0.53
        """,
    ),
    2: _table(
        'vanilla fusion, TNO and RoadScene',
        'TNO/CC TNO/SCD TNO/PSNR_paper TNO/SSIM_paper TNO/MS-SSIM_paper RoadScene/CC RoadScene/SCD '
        'RoadScene/PSNR_paper RoadScene/SSIM_paper RoadScene/MS-SSIM_paper',
        """
        DCI'23 : 0.42 1.61 31.81 0.29 0.36 0.56 1.16 31.49 0.16 0.36
        CSC'23 : 0.44 1.72 30.49 0.44 0.45 0.63 1.80 30.82 0.46 0.52
        MMD'24 : 0.46 1.59 31.18 0.48 0.43 0.63 1.10 31.27 0.41 0.48
        GTM'24 : 0.45 1.68 30.46 0.37 0.41 0.60 1.55 29.55 0.33 0.45
        FuB'25 : 0.46 1.54 29.07 0.40 0.42 0.59 1.03 29.39 0.35 0.45
        TIF'24 : 0.42 1.67 31.29 0.47 0.44 0.61 1.57 31.21 0.48 0.52
        DAF'25 : 0.49 1.70 30.53 0.44 0.41 0.64 1.65 31.34 0.48 0.53
        LURE   : 0.46 1.84 31.92 0.51 0.47 0.57 1.67 31.52 0.50 0.55
        """,
    ),
    3: _table(
        'degradation-aware fusion (low light, haze, over-exposure, low contrast)',
        'LL/AG LL/SD LL/CLIP-IQA HZ/CLIP-IQA HZ/LIQE HZ/ARNIQA OE/CLIP-IQA OE/LIQE OE/MANIQA LC/CLIP-IQA LC/MANIQA '
        'LC/NIQE',
        """
        DCI'23 : 4.74 40.90 0.19 0.21 1.17 0.52 0.19 1.26 0.22 0.14 0.14 4.74
        CSC'23 : 4.27 51.08 0.17 0.25 1.09 0.51 0.19 1.38 0.24 0.12 0.12 6.38
        MMD'24 : 3.95 36.07 0.15 0.23 1.17 0.53 0.19 1.23 0.24 0.14 0.14 4.55
        GTM'24 : 4.15 50.75 0.12 0.18 1.01 0.36 0.14 1.05 0.16 0.14 0.13 6.54
        FuB'25 : 4.10 37.36 0.17 0.24 1.12 0.53 0.13 1.05 0.20 0.15 0.15 4.66
        TIF'24 : 4.05 42.10 0.19 0.25 1.17 0.53 0.23 1.49 0.23 0.16 0.13 4.41
        DAF'25 : 5.19 47.99 0.19 0.25 1.19 0.51 0.20 1.55 0.24 0.13 0.10 3.17
        LURE   : 4.77 55.23 0.20 0.30 1.14 0.54 0.21 1.37 0.25 0.17 0.14 4.67
        """,
    ),
    4: _table(
        'super-resolution and combined degradations',
        'SR4/SF SR4/CLIP-IQA SR4/ARNIQA SR8/SF SR8/CLIP-IQA SR8/ARNIQA OE+LC/SD OE+LC/MUSIQ OE+LC/CLIP-IQA LL+LC/EN '
        'LL+LC/SD LL+LC/CLIP-IQA',
        """
        DCI'23 : 10.09 0.26 0.58 10.15 0.24 0.56 42.46 5.85 0.20 7.10 42.46 0.13
        CSC'23 : 14.23 0.28 0.59 13.16 0.25 0.57 47.61 4.20 0.15 5.88 47.61 0.11
        MMD'24 :  9.22 0.29 0.59  9.36 0.25 0.57 37.44 4.98 0.21 6.93 37.44 0.10
        GTM'24 :  8.76 0.32 0.37  8.65 0.29 0.35 53.00 6.36 0.15 7.23 53.00 0.10
        FuB'25 :  9.13 0.28 0.58  9.16 0.24 0.57 34.39 5.57 0.16 6.88 34.39 0.11
        TIF'24 : 13.20 0.26 0.59 12.78 0.23 0.57 49.43 6.86 0.23 7.26 49.43 0.12
        DAF'25 : 15.23 0.22 0.57 15.23 0.24 0.58 52.56 6.37 0.20 7.24 50.84 0.11
        LURE   : 11.20 0.33 0.60  9.77 0.27 0.59 55.40 6.84 0.24 7.42 55.40 0.15
        """,
    ),
    5: _table(
        'segmentation of fused MSRS, mIoU in percent',
        'MSRS/mIoU',
        """
        IR   : 77.679
        VI   :  78.94
        DCI  :  80.05
        CSC  :   77.2
        MMD  :  78.87
        GTM  :   79.4
        FuB  :  78.84
        TIF  :  78.21
        DAF  :   79.1
        LURE :  81.22
        """,
    ),
    6: _table(
        'ablations',
        'LC/CLIP-IQA LC/MANIQA LC/NIQE OE/CLIP-IQA OE/LIQE OE/MANIQA LL+LC/EN LL+LC/SD LL+LC/CLIP-IQA',
        """
        Single Stage       : 0.168 0.135 4.397 0.205 1.041 0.207 6.473 36.901 0.149
        Using CC           : 0.155 0.135 4.828 0.195 1.208 0.216 7.230 48.035 0.134
        w/o Inner Residual : 0.165 0.138 5.100 0.206 1.310 0.244 7.056 40.099 0.149
        TGA→Gate           : 0.163 0.130 5.000 0.180 1.080 0.200 7.184 45.001 0.143
        w/o Unified Loss   : 0.169 0.139 5.024 0.205 1.030 0.198 7.100 45.829 0.139
        w/o Rule           : 0.159 0.133 5.168 0.203 1.236 0.227 7.053 48.099 0.136
        Ours               : 0.170 0.141 4.621 0.212 1.374 0.251 7.422 55.403 0.150
        """,
    ),
}


def paper_rows(table: int, group: str) -> dict[str, dict[str, float]]:
    """Method -> metric -> number of one group of a table.

    Raises:
        KeyError: If there is no such table or group.
    """
    if table not in PAPER_TABLES:
        raise KeyError(f'the paper has Tables 1 to 6, not {table!r}')
    chosen = PAPER_TABLES[table]
    places = {c.partition('/')[2]: i for i, c in enumerate(chosen.columns) if c.partition('/')[0] == group}
    if not places:
        known = dict.fromkeys(c.partition('/')[0] for c in chosen.columns)
        raise KeyError(f'Table {table} has no group {group!r}; known: {", ".join(known)}')
    return {name: {metric: float(row[i]) for metric, i in places.items()} for name, row in chosen.rows.items()}


def published(group: str, method: str = 'LURE') -> dict[str, float]:
    """What Tables 1 to 4 print for a data set or task: metric -> number, {} where they have nothing."""
    for table in (1, 2, 3, 4):
        if any(column.partition('/')[0] == group for column in PAPER_TABLES[table].columns):
            return paper_rows(table, group).get(method, {})
    return {}
