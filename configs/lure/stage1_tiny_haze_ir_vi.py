# Only pictures to train the tone on (tools/train_tone.py --pictures-from): haze of rooms, as that of RESIDE is.
_base_ = './stage1_tiny_more_ir_vi.py'
# measured on every ninth training pair of SOTS: an airlight of 0.98 to 1
borrowed = dict(
    type='BorrowedDepth',
    pairs=[dict(type='RESIDE', split='SOTS_indoor_more', leave_out=_base_.leave_out)],
)
# rooms first
visible = {
    'LOL/our485/high': 3,
    'LOL/our485_more/high': 3,
    'HDRPS/train/gt': 6,
    'HDRPS/brackets/gt': 6,
    'RESIDE/SOTS_indoor/GT': 4,
    'RESIDE/SOTS_indoor_more/clear': 3,
    'M3SVD/train_more/visible': 2,
    'MSRS/train/vi': 2,
    'RoadScene/train/vi': 1,
    'LLVIP/train_more/vi': 1,
}
train_dataloader = dict(
    sampler=dict(_delete_=True, type='TaskUniformSampler'),
    dataset=dict(
        pipeline=[borrowed if step.type == 'FrameDepth' else step for step in _base_.pipeline],
        datasets=[
            dict(
                type='RestorationDataset',
                data_prefix=dict(y=folder),
                times=times,
                leave_out=_base_.leave_out,
                task='hz',
                modality='vi',
                degradation=dict(type='Haze', beta=(0.55, 1.7), airlight=(0.97, 1.0)),
            )
            for folder, times in visible.items()
        ],
    ),
)
