"""The page as Gradio lays it out: what stands where, and which request goes to the desk."""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like

from lurefusion.page import wording
from lurefusion.page.desk import METRICS, Desk, Wish, offered_metrics
from lurefusion.page.examples import Example
from lurefusion.page.limits import CLIP_SUFFIXES, minutes
from lurefusion.page.scratch import Scratch
from lurefusion.runtime.alignment import KINDS

#: sentences to click at
PROMPTS = (
    'The visible image is too dark',
    'thermal: low contrast',
    'it is hazy',
    'visible over-exposed, infrared of low resolution',
)
STYLE = Path(__file__).with_name('style.css')
#: the one name under which everything that a network works on waits in the queue
_WORK = 'networks'
# mistakes of users; anything else is ours, and told to the log alone
_THEIRS = (OSError, KeyError, ValueError, TypeError, ImportError, MemoryError)
_ALIGNED = 'aligned already'
_NO_RESIZE = 'they are equal'


def _sent(box: gr.components.Component) -> gr.components.Component:
    """The box, but for files that come with the request: an address on the net is not fetched for a stranger."""
    # not by a class of its own: Gradio writes a file beside every module that derives from its boxes
    taken = box.async_move_resource_to_block_cache

    async def moved(place: Any) -> Any:
        if is_http_url_like(str(place)):
            raise gr.Error('Addresses are not taken: send the file itself.', print_exception=False)
        return await taken(place)

    box.async_move_resource_to_block_cache = moved
    return box


def _picture_box(**options: Any) -> gr.Image:
    """A picture that is sent in; handed on as the file it is, before anybody decodes it."""
    box = _sent(gr.Image(**options))
    box.preprocess = lambda payload: None if payload is None else payload.path
    return box


def _file_box(**options: Any) -> gr.File:
    """A file that is sent in."""
    return _sent(gr.File(**options))


@dataclass(frozen=True)
class Parts:
    """What handlers need."""

    desk: Desk
    examples: Sequence[Example]
    scratch: Scratch


def build(parts: Parts) -> gr.Blocks:
    """The page."""
    desk, limits = parts.desk, parts.desk.limits
    titles = {name: wording.title_of(name) for name in desk.modalities}
    with gr.Blocks(
        title='lurefusion', analytics_enabled=False, delete_cache=(min(60, limits.keep), limits.keep)
    ) as page:
        gr.Markdown(
            f'# lurefusion\nTwo pictures of one scene, {" and ".join(titles.values()).lower()}: one picture that shows '
            'what both saw. Say what is wrong with each, or let the network look.'
        )
        with gr.Tab('Pair'):
            _pair(parts, titles)
        with gr.Tab('Folder'):
            _folder(parts, titles)
        with gr.Tab('Video'):
            _video(parts, titles)
        gr.Markdown(
            f'Pictures of at most {limits.picture_mb:g} MB and {limits.megapixels:g} million pixels. What you send '
            f'stays on the machine of this page and is removed after {minutes(limits.keep)}.',
            elem_classes='lf-small',
        )
    page.queue(max_size=limits.queue, default_concurrency_limit=1)
    return page


def _asked(
    handler: Callable[..., Any], parts: Parts, empty: Sequence[Any], named: Sequence[str] = ()
) -> Callable[..., Any]:
    """A handler whose first output is what went wrong, as one sentence; the others are `empty` then.

    `named`: the inputs, for who asks by program.
    """

    @functools.wraps(handler)
    def answer(*values: Any, **named: Any) -> list[Any]:
        try:
            return ['', *handler(*values, **named)]
        except _THEIRS as error:
            return [wording.alert(wording.sentence(error, parts.scratch.places)), *empty]
        except Exception:
            logging.getLogger('lurefusion').exception('a fault of the page')
            return [wording.alert('That is a fault of this page, not of your files; its log says more.'), *empty]

    if named:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        answer.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in named])
    return answer


# ------------------------------------------------------------------- options


def _wishes(desk: Desk, go: str, restore: bool = True) -> tuple[dict[str, gr.components.Component], gr.Button]:
    """The prompt, the button that says `go`, the choice of the network and the options; by the names of `Wish`."""
    boxes: dict[str, gr.components.Component] = {}
    boxes['auto'] = gr.Checkbox(
        True, label='auto: let it look at the pictures, whatever is written', elem_classes='lf-auto'
    )
    boxes['prompt'] = gr.Textbox(
        '',
        label='Or say what is wrong, in English or Chinese',
        placeholder='e.g. the visible image is too dark',
        lines=2,
        max_lines=4,
    )
    gr.Examples([[text] for text in PROMPTS], boxes['prompt'], label='For example', fn=None, cache_examples=False)
    # whoever says something wants it to be heard
    said = dict(fn=None, js="(text) => text.trim() === ''", inputs=boxes['prompt'], outputs=boxes['auto'])
    boxes['prompt'].change(**said, api_visibility='private')
    button = gr.Button(go, variant='primary', elem_id=f'lf-{go.lower().replace(" ", "-")}')
    boxes['model'] = gr.Dropdown(list(desk.models), value=desk.models[0], label='Network')
    one, other = desk.modalities
    with gr.Accordion('Options', open=False):
        boxes['register'] = gr.Dropdown([_ALIGNED, *KINDS], value=_ALIGNED, label='The pictures are')
        boxes['resize'] = gr.Dropdown(
            [_NO_RESIZE, *((f'that of {wording.title_of(name).lower()}', name) for name in (one, other))],
            value=_NO_RESIZE,
            label='Size of the result',
        )
        boxes['chroma'] = gr.Radio(
            [('as the network gives it', 'fused'), ('of the visible picture', 'visible')],
            value='fused',
            label='Colour',
        )
        boxes['trust'] = gr.Checkbox(False, label='Trust the pictures: also coloured infrared ones, or one twice')
        if restore:
            boxes['metrics'] = gr.Dropdown(
                offered_metrics(), value=list(METRICS), multiselect=True, label='Metrics beside the result'
            )
            boxes['restore'] = gr.Checkbox(True, label='Restore each picture alone, too')
    return boxes, button


def _wish(names: Sequence[str], values: Sequence[Any]) -> Wish:
    given = dict(zip(names, values, strict=True))
    given['register'] = None if given['register'] == _ALIGNED else given['register']
    given['resize'] = None if given['resize'] == _NO_RESIZE else given['resize']
    return Wish(**{**given, 'prompt': given['prompt'] or ''})


# ---------------------------------------------------------------------- pair


def _pair(parts: Parts, titles: Mapping[str, str]) -> None:
    desk = parts.desk
    # what the boxes show where a browser could not show the file itself
    shown, boxes = {}, {}
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            with gr.Row(elem_classes='lf-pair'):
                for name, title in titles.items():
                    shown[name] = gr.State(None)
                    boxes[name] = _picture_box(
                        label=f'{title} picture',
                        sources=['upload', 'clipboard'],
                        height=180,
                        min_width=140,
                        buttons=[],
                        elem_id=f'lf-{name}',
                    )
            if parts.examples:
                gr.Markdown('Or take one of these:', elem_classes='lf-small')
                shelf = gr.Gallery(
                    [(_thumbnail(example), example.title) for example in parts.examples],
                    label='Examples',
                    show_label=False,
                    columns=3,
                    allow_preview=False,
                    buttons=[],
                    interactive=False,
                    object_fit='cover',
                    elem_id='lf-examples',
                )
            wishes, go = _wishes(desk, 'Fuse')
        with gr.Column(scale=6, min_width=300):
            wrong = _line('lf-wrong')
            told = _line('lf-understood')
            compare = _line('lf-result', _WELCOME)
            with gr.Row(elem_classes='lf-save'):
                eight = gr.DownloadButton('Save, 8 bit', interactive=False, size='md', min_width=120)
                sixteen = gr.DownloadButton('Save, 16 bit', interactive=False, size='md', min_width=120)
            metrics = _line('lf-metrics')
            alone = _line('lf-restored')
            with gr.Accordion('For the curious: weights of the pictures, latents', open=False):
                gr.Markdown(
                    'Which picture the result follows where, found by moving the brightness of one, and by blurring '
                    'its detail away; and the latents by their three main axes: what has one colour in both pictures '
                    'lies at one place of the space.',
                    elem_classes='lf-small',
                )
                draw = gr.Button('Draw them', size='md')
                inside = _line('lf-inside')

    names = list(wishes)
    for name, box in boxes.items():
        taken = _asked(lambda path: _take(parts, path), parts, [None, None], ('picture',))
        box.upload(
            taken,
            box,
            [wrong, box, shown[name]],
            api_name=f'picture_{name}',
            concurrency_limit=2,
            show_progress='minimal',
        )
    if parts.examples:

        def chosen(event: gr.SelectData) -> list[Any]:
            example = parts.examples[event.index]
            previews = [_preview(parts, str(example.pictures[name])) for name in desk.modalities]
            previewed = [
                (preview.name, str(example.pictures[name]))
                for name, preview in zip(desk.modalities, previews, strict=True)
            ]
            wish = [example.prompt, not example.prompt, example.register or _ALIGNED]
            return ['', *map(str, previews), *previewed, *wish]

        outputs = [wrong, *boxes.values(), *shown.values(), wishes['prompt'], wishes['auto'], wishes['register']]
        shelf.select(chosen, None, outputs, api_visibility='private', show_progress='hidden')

    def given(values: Sequence[Any]) -> tuple[dict[str, str | None], Wish]:
        """What the boxes hold when the button is pressed: the file itself, also before its preview is there."""
        count = len(boxes)
        pairs = zip(boxes, values[:count], values[count : 2 * count], strict=True)
        return {name: _original(path, known) for name, path, known in pairs}, _wish(names, values[2 * count :])

    def fuse(*values: Any) -> list[Any]:
        answer = desk.fuse(*given(values))
        saved = []
        with parts.scratch.folder() as folder:
            for depth in (8, 16):
                file = folder / f'fused_{depth}bit.png'
                answer.fused.save(file, depth)
                saved.append(gr.update(value=str(file), interactive=True))
        return [
            wording.understood(answer.told, answer.remarks, parts.scratch.places),
            wording.comparison(answer),
            *saved,
            wording.metrics_table(answer.metrics),
            wording.restored(answer),
            '',
        ]

    off = gr.update(value=None, interactive=False)
    inputs = [*boxes.values(), *shown.values(), *wishes.values()]
    outputs = [wrong, told, compare, eight, sixteen, metrics, alone, inside]
    asked = dict(concurrency_id=_WORK, concurrency_limit=1)
    # what programs call the inputs
    one, other = boxes
    named = (one, other, f'{one}_preview', f'{other}_preview', *wishes)
    fused = _asked(fuse, parts, ['', _WELCOME, off, off, '', '', ''], named)
    go.click(fused, inputs, outputs, api_name='fuse', show_progress_on=[compare], **asked)
    wishes['prompt'].submit(fused, inputs, outputs, api_visibility='private', show_progress_on=[compare], **asked)

    def look(*values: Any) -> list[Any]:
        found = desk.look_inside(*given(values))
        return [wording.gallery({caption: picture for picture, caption in found})]

    # a result beside other pictures than those it is of would mislead
    results = [told, compare, eight, sixteen, metrics, alone, inside]
    empty = ['', _WELCOME, off, off, '', '', '']
    changed = [event for box in boxes.values() for event in (box.upload, box.clear)]
    changed += [shelf.select] if parts.examples else []
    gr.on(changed, lambda: empty, None, results, queue=False, show_progress='hidden', api_visibility='private')

    draw.click(
        _asked(look, parts, [''], named), inputs, [wrong, inside], api_name='inside', show_progress_on=[inside], **asked
    )


_WELCOME = (
    '<div class="lf-empty"><p>The fused picture comes here.</p><p class="lf-small">Choose two pictures, or one of the '
    'examples, and press Fuse.</p></div>'
)


def _line(name: str, text: str = '') -> gr.HTML:
    """A part of the answer; takes no room as long as nothing is in it."""
    return gr.HTML(text, elem_id=name, elem_classes='lf-line')


def _take(parts: Parts, path: str | None) -> list[Any]:
    """A file that was sent in: checked, shown, remembered."""
    if path is None:
        return [None, None]
    preview = _preview(parts, path)
    return [str(preview), (preview.name, path)]


def _preview(parts: Parts, path: str) -> Path:
    """A small picture that every browser shows, of any file that is taken; under a name of its own."""
    from lurefusion.io.images import read_image, write_image

    parts.desk.limits.check_picture(path)
    with parts.scratch.folder() as folder:
        file = folder / f'preview_{secrets.token_hex(16)}.png'
        write_image(file, wording.shown(read_image(path)[0], 640))
    return file


def _original(path: str | None, known: Sequence[str] | None) -> str | None:
    """The file that a box holds: what it shows may be the preview (name, file) that was made of it."""
    if path is not None and known and Path(path).name == known[0]:
        return known[1]
    return path


def _thumbnail(example: Example) -> Any:
    """The pictures of an example beside each other."""
    import numpy as np

    from lurefusion.io.images import read_image

    halves = []
    for path in example.pictures.values():
        picture = wording.shown(read_image(path)[0], 200)
        middle = picture.shape[1] // 4
        halves.append(picture[:, middle : middle + picture.shape[1] // 2])
    height = min(half.shape[0] for half in halves)
    return np.concatenate([half[:height] for half in halves], axis=1)


# -------------------------------------------------------------------- folder


def _folder(parts: Parts, titles: Mapping[str, str]) -> None:
    desk, limits = parts.desk, parts.desk.limits
    one, other = titles.values()
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            archive = _file_box(label='ZIP archive of pairs', file_types=['.zip'], height=140)
            gr.Markdown(
                f'With one folder for each, named after it (`{one.lower()}/`, `{other.lower()}/`), and pictures of one '
                f'name in both. At most {limits.archive_mb:g} MB and {limits.files} pictures.',
                elem_classes='lf-small',
            )
            wishes, go = _wishes(desk, 'Fuse the folder', restore=False)
            with gr.Accordion('Files of both in one folder', open=False):
                patterns = [
                    gr.Textbox('', label=f'How {title.lower()} files are named', placeholder=f'{{id}}_{name}')
                    for name, title in titles.items()
                ]
            depth = gr.Radio([8, 16], value=8, label='Bits of the results')
        with gr.Column(scale=6, min_width=300):
            wrong = _line('lf-folder-wrong')
            report = _line('lf-folder-report', _NOTHING.format('archive'))
            result = gr.File(label='Results', interactive=False, visible=False)

    names = list(wishes)

    def fuse(progress: Any = gr.Progress(), *values: Any) -> list[Any]:  # noqa: B008
        file, *values = values
        if not file:
            raise ValueError('the archive is missing: choose a ZIP file')
        *values, first, second, bits = values
        given = {
            name: text.strip() for name, text in zip(titles, (first, second), strict=True) if text and text.strip()
        }
        if len(given) == 1:
            raise ValueError('say how the files of both are named, or leave both empty')

        def tell(done: int, total: int) -> None:
            progress((done, total), desc='fused', unit='pictures')

        with parts.scratch.folder() as folder:
            job = desk.fuse_archive(file, _wish(names, values), folder, given or None, int(bits), tell)
        return [wording.summary(job, 'pictures', parts.scratch.places), gr.update(value=str(job.file), visible=True)]

    go.click(
        _asked(fuse, parts, ['', gr.update(value=None, visible=False)]),
        [archive, *wishes.values(), *patterns, depth],
        [wrong, report, result],
        api_name='folder',
        concurrency_id=_WORK,
        show_progress_on=[report],
    )


_NOTHING = '<div class="lf-empty"><p>What became of the {} is said here.</p></div>'


# --------------------------------------------------------------------- video


def _video(parts: Parts, titles: Mapping[str, str]) -> None:
    desk, limits = parts.desk, parts.desk.limits
    try:
        from lurefusion.io.clips import pyav

        pyav()
    except ImportError as error:
        gr.Markdown(f'Videos are not taken here: {error}')
        return
    clips = {}
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            for name, title in titles.items():
                clips[name] = _file_box(label=f'{title} clip', file_types=list(CLIP_SUFFIXES), height=120)
            gr.Markdown(
                f'Short clips ({", ".join(CLIP_SUFFIXES)}), at most {limits.frames} frames each; frames are paired by '
                'time.',
                elem_classes='lf-small',
            )
            wishes, go = _wishes(desk, 'Fuse the clips', restore=False)
            steady = gr.Slider(0, 2, value=0, step=0.1, label='Damp flicker, seconds')
        with gr.Column(scale=6, min_width=300):
            wrong = _line('lf-clip-wrong')
            result = gr.Video(label='Fused clip', interactive=False, visible=False, buttons=['download'])
            report = _line('lf-clip-report', _NOTHING.format('clips'))

    names = list(wishes)

    def fuse(progress: Any = gr.Progress(), *values: Any) -> list[Any]:  # noqa: B008
        given = dict(zip(clips, values, strict=False))
        *values, seconds = values[len(clips) :]

        def tell(done: int, total: int | None) -> None:
            progress((done, total), desc='fused', unit='frames')

        with parts.scratch.folder() as folder:
            job = desk.fuse_clip(given, _wish(names, values), folder, seconds or None, tell)
        return [wording.summary(job, 'frames', parts.scratch.places), gr.update(value=str(job.file), visible=True)]

    go.click(
        _asked(fuse, parts, ['', gr.update(value=None, visible=False)]),
        [*clips.values(), *wishes.values(), steady],
        [wrong, report, result],
        api_name='clip',
        concurrency_id=_WORK,
        show_progress_on=[report],
    )
