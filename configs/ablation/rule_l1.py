# Prior rule: DenseFuse's l1 weights, as in the paper.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='l1')}
