# Labelled pictures of MSRS for downstream segmentation; in MSRS/<split>/{vi,ir,Segmentation_labels}.
classes = ('background', 'car', 'person', 'bike', 'curve', 'car_stop', 'guardrail', 'color_cone', 'bump')
palette = [
    [0, 0, 0],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
    [0, 0, 192],
    [128, 128, 0],
    [64, 64, 128],
    [192, 128, 128],
    [192, 64, 0],
]
pictures = dict(
    classes=classes,
    palette=palette,
    **{
        split: dict(
            type='FusionPairDataset',
            data_prefix=dict(vi=f'MSRS/{split}/vi', ir=f'MSRS/{split}/ir', label=f'MSRS/{split}/Segmentation_labels'),
        )
        for split in ('train', 'test')
    },
)
