# Table 6, "w/o Rule": the fuser alone, whose last convolution then starts as any other: from zero the decoder
# would see a constant.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='none')}
