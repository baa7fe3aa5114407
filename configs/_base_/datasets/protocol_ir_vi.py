# The paper's test protocol: Tables 1 and 2 (vanilla), 3 and 4 (degradation tasks and combinations).
# EMS pairs are expected as EMS/<low_light|over_exposure|haze|ir_low_contrast>/test/{vi,ir}; SR inputs are made from
# MSRS.
test_pipeline = [dict(type='LoadImages'), dict(type='Degrade'), dict(type='PackInputs')]
loader = dict(batch_size=1, num_workers=2, sampler=dict(type='DefaultSampler', shuffle=False))
common = dict(pipeline=test_pipeline, test_mode=True)
vanilla = [
    dict(loader, name='MSRS', dataset=dict(common, type='MSRS', split='test')),
    dict(loader, name='M3FD', dataset=dict(common, type='M3FD')),
    dict(loader, name='TNO', dataset=dict(common, type='TNO')),
    dict(loader, name='RoadScene', dataset=dict(common, type='RoadScene', split='test')),
]
low_contrast = dict(type='LowContrast', gain=0.3, level=0.45, noise=0)
sr4 = dict(type='LowResolution', scales=(4,))
sr8 = dict(type='LowResolution', scales=(8,))
degraded = [
    dict(loader, name='LL', dataset=dict(common, type='EMS', split='low_light', tasks=dict(vi='ll'))),
    dict(loader, name='HZ', dataset=dict(common, type='EMS', split='haze', tasks=dict(vi='hz'))),
    dict(loader, name='OE', dataset=dict(common, type='EMS', split='over_exposure', tasks=dict(vi='oe'))),
    dict(loader, name='LC', dataset=dict(common, type='EMS', split='ir_low_contrast', tasks=dict(ir='lc'))),
    dict(
        loader,
        name='SR4',
        dataset=dict(common, type='MSRS', split='test', tasks=dict(ir='sr'), degradations=dict(ir=sr4)),
    ),
    dict(
        loader,
        name='SR8',
        dataset=dict(common, type='MSRS', split='test', tasks=dict(ir='sr'), degradations=dict(ir=sr8)),
    ),
    dict(
        loader,
        name='OE+LC',
        dataset=dict(
            common,
            type='EMS',
            split='over_exposure',
            tasks=dict(vi='oe', ir='lc'),
            degradations=dict(ir=low_contrast),
        ),
    ),
    dict(
        loader,
        name='LL+LC',
        dataset=dict(
            common, type='EMS', split='low_light', tasks=dict(vi='ll', ir='lc'), degradations=dict(ir=low_contrast)
        ),
    ),
]
vanilla_metrics = [dict(type='FusionMetrics', metrics='ranked', variant='both')]
# the columns that Tables 3 and 4 print for each task
degraded_columns = dict(
    LL=(('AG', 'SD'), ('CLIP-IQA',)),
    HZ=((), ('CLIP-IQA', 'LIQE', 'ARNIQA')),
    OE=((), ('CLIP-IQA', 'LIQE', 'MANIQA')),
    LC=(('NIQE',), ('CLIP-IQA', 'MANIQA')),
    SR4=(('SF',), ('CLIP-IQA', 'ARNIQA')),
    SR8=(('SF',), ('CLIP-IQA', 'ARNIQA')),
)
degraded_columns['OE+LC'] = (('SD',), ('MUSIQ', 'CLIP-IQA'))
degraded_columns['LL+LC'] = (('EN', 'SD'), ('CLIP-IQA',))
test_dataloader = [*vanilla, *degraded]
test_evaluator = [vanilla_metrics] * len(vanilla) + [
    [dict(type='FusionMetrics', metrics=('CC', 'SCD', *fused)), dict(type='NoReferenceIQA', names=names)]
    for fused, names in degraded_columns.values()
]
# rows of the paper's own tables, beside ours
printed = dict(LURE='lurefusion.studies.paper_tables.published')
