"""Metadata of lurefusion. The settings of the tools are in pyproject.toml, exact versions in constraints.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

# Lower bounds: the oldest version that is known to have what is called here. Upper bounds: the next version that by its
# numbering may break what is called here. What was run: docs/supply.md.
REQUIRES = [
    # below 2.6, weights_only=True can be made to run code (CVE-2025-32434)
    'torch>=2.6,<3',
    # the runner, its loops and hooks are extended where 0.10.7 has them
    'mmengine>=0.10.7,<0.11',
    'transformers>=5.0,<6',
    # 1.26 is the first for Python 3.12
    'numpy>=1.26,<3',
    'opencv-python>=4.8,<6',
    # headers, orientation, and labels: OpenCV turns the ids of a palette into colours; 10.3 mends CVE-2024-28219
    'pillow>=10.3,<13',
    'safetensors>=0.4.3,<1',
    # MMEngine's hub looks packages up with pkg_resources, which setuptools 81 dropped and Python 3.12 no longer brings
    'setuptools<81',
]
EXTRAS = {
    # mmsegmentation refuses a later mmcv, and there is no later mmsegmentation
    'seg': ['mmcv==2.1.0', 'mmsegmentation[multimodal]==1.2.2', 'ftfy>=6.1,<7', 'regex>=2023.10'],
    # One version: scores of another are other numbers. Its licence is non-commercial (PolyForm). It wants the headless
    # OpenCV in the same version as the other.
    'iqa': ['pyiqa==0.1.16', 'torchvision>=0.21,<1', 'opencv-python-headless>=4.8,<6'],
    'demo': ['gradio>=6,<7'],
    # the page in a real browser: `make test-browser`, with a Chromium of the system
    'browser': ['playwright>=1.50,<2'],
    'export': ['onnx>=1.17,<2', 'onnxruntime>=1.20,<2'],
    # brings its own FFmpeg; `--codec list` shows what that can write
    'video': ['av>=16,<19'],
    # slices of DICOM and NIfTI files
    'medical': ['nibabel>=5.2,<6', 'pydicom>=3,<4'],
    # the numbers and pictures of the latent space
    'analysis': ['matplotlib>=3.8,<4', 'scikit-learn>=1.5,<2'],
    # `make docs`; builds without the network
    'docs': ['mkdocs>=1.6,<2', 'mkdocs-material>=9.6,<10', 'mkdocstrings[python]>=1.0,<2'],
    # ruff, codespell, mypy: a new one finds other faults
    'dev': [
        'build>=1.2,<2',
        'codespell>=2.4,<2.5',
        # commands that a test starts are counted from 7.10 on
        'coverage>=7.10,<8',
        # properties over drawn shapes, types, ranges and texts
        'hypothesis>=6.100,<7',
        'mypy>=2.4,<2.5',
        'packaging>=24',
        'pre-commit>=4,<5',
        'pytest>=8,<10',
        'pytest-xdist>=3.6,<4',
        'ruff>=0.17.6,<0.18',
        'scikit-image>=0.24,<1',
        'scikit-learn>=1.5,<2',
        'scipy>=1.13,<2',
        'tensorboard>=2.18,<3',
        'wheel',
    ],
}
#: what travels in `lurefusion/.mim`
MIM = ('configs', 'tools', 'model-index.yml')
EXTRAS['all'] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})


class BuildWithMim(build_py):
    """Put configs, tools and the model index into the package, as `lurefusion/.mim`, where MMEngine looks for them.

    An editable install gets links in their place, and so reads them where they are.
    """

    def run(self) -> None:
        if not self.editable_mode:
            # What a former build left here would otherwise be packed too.
            shutil.rmtree(Path(self.build_lib) / 'lurefusion', ignore_errors=True)
        super().run()
        if self.editable_mode:
            link_mim()
            return
        for name in MIM:
            for source in sorted((ROOT / name).rglob('*')) if (ROOT / name).is_dir() else [ROOT / name]:
                if source.suffix in ('.py', '.md', '.sh', '.yml'):
                    target = Path(self.build_lib) / 'lurefusion' / '.mim' / source.relative_to(ROOT)
                    self.mkpath(str(target.parent))
                    self.copy_file(str(source), str(target))


def link_mim() -> None:
    folder = ROOT / 'lurefusion' / '.mim'
    folder.mkdir(exist_ok=True)
    for name in MIM:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path('..', '..', name))


def version() -> str:
    text = (ROOT / 'lurefusion' / '__init__.py').read_text(encoding='utf-8')
    found = re.search(r"^__version__ = '([^']+)'$", text, flags=re.MULTILINE)
    if found is None:
        raise ValueError("lurefusion/__init__.py has no line __version__ = '...'")
    return found[1]


def readme() -> str:
    file = ROOT / 'README.md'
    return file.read_text(encoding='utf-8') if file.is_file() else ''


setup(
    name='lurefusion',
    version=version(),
    description='Degradation-aware multi-modal image fusion: a plug-in toolkit on MMEngine registries',
    long_description=readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    author='The lurefusion authors',
    keywords='image fusion, infrared, visible, image restoration, degradation, text-guided, mmengine, pytorch',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['lurefusion', 'lurefusion.*']),
    package_data={'lurefusion': ['py.typed', '**/*.safetensors', '**/*.npz', '**/*.json', '**/*.md', '**/*.css']},
    include_package_data=False,
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['lurefusion = lurefusion.cli:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
