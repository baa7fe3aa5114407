"""Slices of DICOM and NIfTI files, written by the libraries and read back by closed forms."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lurefusion.apis import FusionInferencer
from lurefusion.cli import main
from lurefusion.io.images import read_image
from lurefusion.io.pairing import list_images
from lurefusion.io.shared_range import pictures_of
from lurefusion.io.slices import file_of, is_slice, read_slice

COUNTS = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 10


def dicom(path: Path, pixels: np.ndarray = COUNTS, **elements: object) -> Path:
    pydicom = pytest.importorskip('pydicom')
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    grey = pixels.dtype == np.uint16
    data.PhotometricInterpretation = 'MONOCHROME2' if grey else 'RGB'
    data.SamplesPerPixel = 1 if grey else 3
    if not grey:
        data.PlanarConfiguration = 0
    shape = pixels.shape if grey else pixels.shape[:-1]
    data.Rows, data.Columns = shape[-2:]
    if len(shape) == 3:
        data.NumberOfFrames = shape[0]
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits, bits - 1, 0
    data.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nibabel = pytest.importorskip('nibabel')
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def test_a_dicom_slice_is_shown_in_its_window(tmp_path):
    path = dicom(
        tmp_path / 'ct.dcm', RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=[1000, 40], WindowWidth=[2001, 80]
    )
    hounsfield = COUNTS * 2.0 - 1000
    picture, grey = read_image(path)
    assert grey
    # the window of PS3.3 is linear from 1000 - 0.5 - 1000 to 1000 - 0.5 + 1000
    np.testing.assert_allclose(picture[..., 0], ((hounsfield + 0.5) / 2000).clip(0, 1), atol=1e-5)
    np.testing.assert_allclose(read_image(path, '0:500')[0][..., 1], (hounsfield / 500).clip(0, 1), atol=1e-5)
    np.testing.assert_array_equal(next(pictures_of([path])), hounsfield)
    negative = dicom(tmp_path / 'cr.dcm', PhotometricInterpretation='MONOCHROME1', WindowCenter=1000, WindowWidth=1001)
    np.testing.assert_allclose(read_image(negative)[0][..., 0], 1 - ((COUNTS - 499.5) / 1000).clip(0, 1), atol=1e-5)


def test_frames_and_colour_of_dicom(tmp_path):
    frames = dicom(tmp_path / 'mr.dcm', np.stack([COUNTS + n for n in range(5)]))
    found = read_slice(frames)
    assert found.notes == ('slice 2 of 0 to 4 is taken, mr.dcm:2',)
    np.testing.assert_array_equal(found.pixels, COUNTS + 2)
    np.testing.assert_array_equal(read_slice(f'{frames}:4').pixels, COUNTS + 4)
    colour = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    picture, grey = read_image(dicom(tmp_path / 'us.dcm', colour))
    assert not grey
    np.testing.assert_array_equal(picture, colour)
    # numbers of a palette
    table = np.random.default_rng(1).integers(0, 256, (3, 256), np.uint8)
    for bits, words in ((8, table), (16, table.astype(np.uint16) << 8)):
        entries = {
            f'{name}PaletteColorLookupTableData': words[n].tobytes() for n, name in enumerate(('Red', 'Green', 'Blue'))
        }
        entries |= {f'{name}PaletteColorLookupTableDescriptor': [256, 0, bits] for name in ('Red', 'Green', 'Blue')}
        shades = (np.arange(384, dtype=np.uint16) % 256).reshape(16, 24)
        path = dicom(tmp_path / 'pet.dcm', shades, PhotometricInterpretation='PALETTE COLOR', **entries)
        np.testing.assert_array_equal(read_image(path)[0], table.T[shades])


@pytest.mark.parametrize('name', ['pet.nii.gz', 'pet.nii'])
def test_slices_of_a_nifti_volume(tmp_path, name):
    volume = np.random.default_rng(0).normal(200, 90, (24, 16, 9)).astype(np.float32)
    path = nifti(tmp_path / name, volume)
    notes: list[str] = []
    picture, grey = read_image(path, notes=notes)
    assert grey
    assert f'slice 4 of 0 to 8 is taken, {name}:4' in notes
    # the patient's front at the top, right on the right
    expected = volume[:, ::-1, 4].T
    low, high = np.percentile(expected, (0.1, 99.9))
    np.testing.assert_allclose(picture[..., 0], ((expected - low) / (high - low)).clip(0, 1), atol=1e-4)
    np.testing.assert_array_equal(read_slice(f'{path}:7').pixels, volume[:, ::-1, 7].T)
    # a volume that is stored from the left is turned
    mirrored = nifti(tmp_path / f'm{name}', volume[::-1].copy(), np.diag([-1, 1, 1, 1]))
    np.testing.assert_array_equal(read_slice(mirrored).pixels, expected)
    with pytest.raises(ValueError, match='has the slices 0 to 8, not 9'):
        read_image(f'{path}:9')


def test_what_is_no_slice_is_named(tmp_path):
    pytest.importorskip('pydicom')
    (tmp_path / 'a.dcm').write_text('text')
    (tmp_path / 'a.nii.gz').write_text('text')
    for name, message in (('a.dcm', 'a.dcm is not a readable DICOM'), ('a.nii.gz', 'a.nii.gz is not a readable NIfTI')):
        with pytest.raises(ValueError, match=message):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r'no such image file: .*b\.nii$'):
        read_image(tmp_path / 'b.nii:3')
    with pytest.raises(ValueError, match=r'one volume of numbers, got \(8, 8, 3, 2\)'):
        read_image(nifti(tmp_path / 'f.nii', np.zeros((8, 8, 3, 2), np.float32)))


def test_without_the_libraries_the_extra_is_named(tmp_path, monkeypatch):
    for library, name in (('pydicom', 'a.dcm'), ('nibabel', 'a.nii')):
        monkeypatch.setitem(sys.modules, library, None)
        (tmp_path / name).write_bytes(b'x')
        with pytest.raises(ImportError, match=rf'{name} needs {library}: pip install "lurefusion\[medical\]"'):
            read_image(tmp_path / name)


def test_names_of_slices(tmp_path):
    assert all(is_slice(name) for name in ('a.dcm', 'A.DCM:3', 'b.nii', 'b.nii.gz:40', 'x/c.dicom'))
    assert not any(is_slice(name) for name in ('a.png', 'a.png:3', 'nii', 'b.gz', 'b.nii.gz:x'))
    assert file_of('x/b.nii.gz:40') == Path('x/b.nii.gz')
    for name in ('1.dcm', '2.nii.gz', '3.nii'):
        (tmp_path / name).write_bytes(b'x')
    assert list(list_images(tmp_path)) == ['1', '2', '3']


def test_a_pair_of_slices_is_fused(tmp_path, capsys):
    volume = np.random.default_rng(0).normal(200, 90, (24, 16, 9)).astype(np.float32)
    ct, mri = dicom(tmp_path / 'ct.dcm', WindowCenter=1000, WindowWidth=1001), nifti(tmp_path / 'mri.nii.gz', volume)
    model = 'lurefusion::baselines/average_ir_vi.py'
    words = ['--vi', str(ct), '--ir', f'{mri}:3', '--out', str(tmp_path / 'f.png'), '--model', model, '--device', 'cpu']
    assert main(['fuse', *words]) == 0, capsys.readouterr()
    fused = FusionInferencer(model, device='cpu')(vi=read_image(ct)[0], ir=read_image(f'{mri}:3')[0])
    np.testing.assert_array_equal(read_image(tmp_path / 'f.png')[0][..., 0], fused)


def test_a_frame_of_an_enhanced_file_has_its_own_window_and_rescaling(tmp_path):
    pydicom = pytest.importorskip('pydicom')

    def item(**elements):
        found = pydicom.dataset.Dataset()
        for name, value in elements.items():
            setattr(found, name, value)
        return found

    def rescaled(intercept):
        return [item(RescaleSlope=1, RescaleIntercept=intercept)]

    frames = [item(PixelValueTransformationSequence=rescaled(-1024 - n)) for n in range(3)]
    shared = [item(FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)])]
    path = dicom(
        tmp_path / 'ct.dcm', np.stack([COUNTS] * 3),
        PerFrameFunctionalGroupsSequence=frames, SharedFunctionalGroupsSequence=shared,
    )  # fmt: skip
    for number in range(3):
        found = read_slice(f'{path}:{number}')
        np.testing.assert_array_equal(found.pixels, COUNTS - 1024.0 - number)
        assert found.window == '-160:239'
    assert read_slice(path).pixels[0, 0] == -1025
    empty = dicom(tmp_path / 'empty.dcm', RescaleSlope='', RescaleIntercept='')
    np.testing.assert_array_equal(read_slice(empty).pixels, COUNTS)
