# Prior rule: l1 weights in the bands of a Laplacian pyramid of the latents, that of lure-tiny.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='l1_pyramid', power=1.25, base_power=0.25)}
