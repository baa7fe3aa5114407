# Prior rule: the sum, which leaves the range that the decoder knows.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='sum')}
