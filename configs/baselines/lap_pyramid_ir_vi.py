# Laplacian pyramid, coefficients of largest magnitude, colour of the visible picture. No weights.
_base_ = './average_ir_vi.py'
model = dict(method='lap_pyramid')
