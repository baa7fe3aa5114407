import csv
import logging
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lurefusion.models.text_encoders import HashBag, TextEncoder
from lurefusion.prompts import (
    MODALITY_WORDS,
    PSEUDO_TASK,
    SPLITS,
    TASKS,
    PromptBank,
    PromptRouter,
    Route,
    build_task,
)
from lurefusion.prompts import router as router_module
from lurefusion.prompts.grammar import named_parts

# What users might write about one image. FREE was at hand while the grammar was extended, UNSEEN was not.
FREE = {
    'll': [
        'I took this at midnight and can barely make out the road, can you make it brighter?',
        'way too dark',
        'There was hardly any light when the camera was running.',
        'brighten up my photo please',
        'Please lighten the shadows, the pedestrians disappear in the darkness.',
        'The street lamps were off so everything is black.',
        'visible picture is underexposed by three stops',
        'We drove through a tunnel and the scene is really dim.',
        'Low-light enhancement on the RGB input.',
        'Could the exposure be raised? The footage is so dark.',
        'night image, bad illumination',
        'Insufficient lighting conditions in the optical frame.',
    ],
    'hz': [
        'It was a foggy morning and the hills are gone.',
        'dehazing',
        'Remove all that fog from the highway picture.',
        'There is a lot of mist between the camera and the ship.',
        'Smoke from the fire covers the building, clean it up.',
        'hazy day, please clear the view',
        'The visible camera looked through thick smog over the city.',
        'My drone footage is foggy, can you dehaze it?',
        'Visibility is terrible because of the haze.',
        'Get the veil of mist off the landscape.',
        'atmospheric haze removal for the colour image',
        'The far mountains are lost in fog.',
    ],
    'oe': [
        'The sky is completely blown out.',
        'Too bright! Please reduce the exposure.',
        'overexposed, fix the highlights',
        'Headlight glare ruins the whole shot.',
        'I left the shutter open too long and everything turned white.',
        'Can you tone down the brightness? The snow is burnt out.',
        'The sunlight saturates the visible picture.',
        'washed out by the flash',
        'exposure correction, image far too bright',
        'Recover the clipped highlights near the window.',
        'The rgb camera was blinded by strong light.',
        'Please darken this overexposed photograph.',
    ],
    'lc': [
        'The thermal picture looks flat, give it more contrast.',
        'increase contrast',
        'People hardly differ from the background in the infrared view.',
        'contrast is terrible',
        'Stretch the grey levels of this heat map a bit.',
        'Everything is the same shade of grey.',
        'Could you boost the contrast of the IR frame?',
        'low contrast thermal imagery',
        'Apply histogram equalisation to the infrared input please.',
        'The dynamic range of the sensor data is much too narrow.',
        'I want the warm targets to stand out better.',
        'dull, flat tones without any contrast',
    ],
    'sr': [
        'The thermal sensor only has 160x120 pixels, upscale it.',
        'x4 super resolution',
        'super-resolve please',
        'I need this at a higher resolution.',
        'The infrared image is blocky and pixelated.',
        'Can you upsample the IR frame four times?',
        'low res, make it sharper',
        'You can count the single pixels, it is that coarse.',
        'Enlarge the small thermal crop without losing detail.',
        'The resolution of the infrared camera is poor.',
        'reconstruct a high-resolution version',
        'This capture was downsampled, please bring back the fine structures.',
    ],
    'pd': [
        'Nothing to do here.',
        'The picture is fine, leave it.',
        'just fuse them',
        'Both images are in good condition.',
        'Please keep it unchanged.',
        'No degradation at all.',
        'plain fusion without any enhancement',
        'Everything looks normal to me, do not touch it.',
        "Don't change the infrared image.",
        'clean input, no correction needed',
        'The quality is already perfect.',
        'Merge the two sources as they are.',
    ],
}
UNSEEN = {
    'll': [
        'The alley is pitch dark.',
        'Raise the brightness of this night recording.',
        'not enough light in here',
        'my visible frames are underexposed, help',
        'shadowy scene, illuminate it please',
    ],
    'hz': [
        'A dense haze lies over the airport.',
        'Could you take away the fog?',
        'smoggy skyline picture',
        'mist reduces the visibility of the lighthouse',
        'haze removal',
    ],
    'oe': [
        'The highlights are clipped.',
        'There is an ugly glare from the lamps.',
        'image exposed for too long, overly bright',
        'Reduce the excessive brightness of the road.',
        'overexposure correction for RGB',
    ],
    'lc': [
        'The thermal image lacks contrast.',
        'Grey on grey, I cannot separate the car from the road.',
        'please improve contrast',
        'flat infrared picture',
        'expand the grey value range',
    ],
    'sr': [
        'The thermal image is small, super-resolution needed.',
        'Increase resolution by four.',
        'pixelated infrared video frame',
        'too few pixels on the target',
        'upsample it',
    ],
    'pd': [
        'All good, nothing to improve.',
        'Leave my pictures as they are.',
        'fusion only',
        'The inputs are clean and need no restoration.',
        'Please do not alter anything.',
    ],
}

# sentence, expected task of vi, of ir
ROUTED = [
    # prompts of Text-IF's form
    ('This is the infrared and visible light image fusion task.', 'pd', 'pd'),
    ('This is the infrared-visible light fusion task. Visible images have the low light degradation.', 'll', 'pd'),
    ('This is the infrared-visible light fusion task. Visible images have the overexposure degradation.', 'oe', 'pd'),
    ('This is the infrared-visible light fusion task. Infrared images have the low contrast degradation.', 'pd', 'lc'),
    ('In the context of infrared-visible image fusion, visible images are degraded by over-exposure.', 'oe', 'pd'),
    ('We are performing infrared and visible image fusion, where visible images are in low light.', 'll', 'pd'),
    # one task, with and without its modality
    ('The visible image is too dark.', 'll', 'pd'),
    ('too dark', 'll', 'pd'),
    ('Please brighten the RGB frame', 'll', 'pd'),
    ('The picture was taken at night.', 'll', 'pd'),
    ('UNDEREXPOSED PHOTO!!!', 'll', 'pd'),
    ('The scene is poorly lit', 'll', 'pd'),
    ('It is not bright enough.', 'll', 'pd'),
    ('a foggy road', 'hz', 'pd'),
    ('Please dehaze the colour image.', 'hz', 'pd'),
    ('There is smoke in front of the optical camera', 'hz', 'pd'),
    ('remove the mist', 'hz', 'pd'),
    ('The sky is blown out', 'oe', 'pd'),
    ('The daylight picture looks washed-out.', 'oe', 'pd'),
    ('Excessively bright highlights, reduce the glare', 'oe', 'pd'),
    ('The thermal image has low contrast', 'pd', 'lc'),
    ('enhance the contrast', 'pd', 'lc'),
    ('The IR picture does not have enough contrast.', 'pd', 'lc'),
    ('Infra-red contrast is too weak', 'pd', 'lc'),
    ('super-resolve the infrared image', 'pd', 'sr'),
    ('low-resolution LWIR input', 'pd', 'sr'),
    ('please upscale ×4', 'pd', 'sr'),
    ('Increase the resolution of the heat map', 'pd', 'sr'),
    # several
    ('The visible image is overexposed while the infrared one has low contrast', 'oe', 'lc'),
    ('Night scene, enhance contrast', 'll', 'lc'),
    ('Dehaze the visible image and super-resolve the thermal one.', 'hz', 'sr'),
    ('The RGB is dark; the IR is low-res', 'll', 'sr'),
    ('Low light as well as poor contrast', 'll', 'lc'),
    ('Infrared and visible images both have low contrast', 'pd', 'lc'),
    ('low resolution infrared, hazy visible', 'hz', 'sr'),
    ('Fog with low contrast in the thermal image', 'hz', 'lc'),
    # negation
    ('The visible image is not dark', 'pd', 'pd'),
    ('The picture is without haze but overexposed', 'oe', 'pd'),
    ("It isn't foggy, it is just too dark", 'll', 'pd'),
    ('It isn’t hazy', 'pd', 'pd'),
    ('no haze, low contrast', 'pd', 'lc'),
    ('The scene is free of fog.', 'pd', 'pd'),
    ('a haze-free view', 'pd', 'pd'),
    ('The image is not only dark', 'll', 'pd'),
    ('not the visible but the infrared image has low contrast', 'pd', 'lc'),
    # nothing to do
    ('No degradation; keep the image as it is.', 'pd', 'pd'),
    ('Please just fuse them', 'pd', 'pd'),
    # Unicode
    ('Ｔｏｏ ｄａｒｋ', 'll', 'pd'),
    ('The visible image is under‑exposed', 'll', 'pd'),
    ('visible: low\u00a0light — infrared: low\u2009contrast', 'll', 'lc'),
    # task keys
    ('ll', 'll', 'pd'),
    (' SR ', 'pd', 'sr'),
]
WARNED = [
    ('This is the infrared-visible light fusion task. Infrared images have the noise degradation.', 'noise'),
    ('The visible image is blurred.', 'blurred'),
    ('The infrared image is hazy.', "asks for 'hz' on 'ir'"),
    ('Stretch the visible contrast: visible image has low contrast', "asks for 'lc' on 'vi'"),
    ('qwertz uiop', 'no task recognised'),
    ('Сделай ярче', 'no task recognised'),
    ('🙂', 'no task recognised'),
    ('hzz', "Did you mean 'hz'"),
]


@pytest.fixture(scope='module')
def bank():
    return PromptBank()


@pytest.fixture
def warnings(monkeypatch):
    seen = []
    monkeypatch.setattr(
        router_module,
        'print_log',
        lambda message, logger=None, level=logging.INFO: seen.append((level, message)),
    )
    return seen


def names(routes):
    return {modality: route.task for modality, route in routes.items()}


# ---- bank ----


def test_bank_order_and_lookup(bank):
    assert bank.keys == ('ll', 'hz', 'oe', 'lc', 'sr', 'pd')
    assert len(bank) == 6
    assert [bank.index(key) for key in bank.keys] == list(range(6))
    assert bank.task('hz').modality == 'vi'
    assert bank.task('pd').modality is None
    assert bank.canonical('pd') == 'No degradation; keep the image as it is.'


@pytest.mark.parametrize('key', ['ll', 'hz', 'oe', 'lc', 'sr', 'pd'])
def test_sentences_are_many_different_and_split(bank, key):
    split = {name: bank.sentences(key, name) for name in SPLITS}
    everything = bank.sentences(key)
    assert len(everything) == sum(map(len, split.values())) >= 300
    assert len({sentence.lower() for sentence in everything}) == len(everything)
    for name, share in dict(train=0.8, val=0.1, test=0.1).items():
        assert len(split[name]) / len(everything) == pytest.approx(share, abs=0.04)
    assert bank.canonical(key) in split['train']
    assert all(sentence == ' '.join(sentence.split()) and '{' not in sentence for sentence in everything)


def test_half_of_the_sentences_name_the_modality(bank):
    sentences = [sentence for key in bank.keys for sentence in bank.sentences(key)]
    words = {word for many in MODALITY_WORDS.values() for word in many}
    named = sum(any(f' {word} ' in f' {sentence.lower()} ' for word in words) for sentence in sentences)
    assert named / len(sentences) == pytest.approx(0.5, abs=0.08)


def test_no_sentence_belongs_to_two_tasks(bank):
    sentences = [sentence.lower() for key in bank.keys for sentence in bank.sentences(key)]
    assert len(set(sentences)) == len(sentences)


NINE = ('ll', 'hz', 'oe', 'lc', 'sr', 'ns', 'st', 'bl', 'rn', 'pd')


def test_further_tasks_are_asked_for_and_leave_the_others_alone(bank):
    more = PromptBank(NINE)
    assert all(more.sentences(key) == bank.sentences(key) for key in bank.keys)
    for key in ('ns', 'st', 'bl', 'rn'):
        assert len(more.sentences(key)) >= 300
        assert more.canonical(key) in more.sentences(key, 'train')
    lower = [sentence.lower() for key in NINE for sentence in more.sentences(key)]
    assert len(set(lower)) == len(lower)


@pytest.mark.parametrize(
    ('text', 'vi', 'ir'),
    [
        ('the visible image is noisy', 'ns', 'pd'),
        ('please denoise the thermal frame', 'pd', 'ns'),
        ('remove the noise', 'ns', 'ns'),
        ('there is stripe noise in the infrared picture', 'pd', 'st'),
        ('destripe it', 'pd', 'st'),
        ('vertical stripes from the detector', 'pd', 'st'),
        ('the visible image is blurred', 'bl', 'pd'),
        ('the photo is out of focus', 'bl', 'pd'),
        ('the visible image is blurred by fog', 'hz', 'pd'),
        ('it was raining, take the rain streaks out', 'rn', 'pd'),
        ('derain the rgb image and remove the stripes', 'rn', 'st'),
    ],
)
def test_further_tasks_are_recognised(warnings, text, vi, ir):
    assert names(PromptRouter(PromptBank(NINE), ['vi', 'ir']).route(text)) == dict(vi=vi, ir=ir)


@pytest.mark.parametrize(
    ('text', 'fault', 'task'),
    [
        ('remove the grain', 'noise', 'ns'),
        ('scan lines in the infrared image', 'stripes', 'st'),
        ('motion trails in the visible image', 'blur', 'bl'),
        ('drops on the lens', 'rain', 'rn'),
        ('图像有噪声', 'noise', 'ns'),
    ],
)
def test_a_fault_is_said_only_without_its_task(warnings, text, fault, task):
    assert task in names(PromptRouter(PromptBank(NINE), ['vi', 'ir']).route(text)).values()
    assert not warnings
    PromptRouter(PromptBank(), ['vi', 'ir']).route(text)
    assert [f'no task for {fault} in this model' in message for _, message in warnings] == [True]


def test_drizzle_is_haze_to_a_model_without_rain(warnings):
    text = 'the recording was made in drizzle'
    assert names(PromptRouter(PromptBank(), ['vi', 'ir']).route(text)) == dict(vi='hz', ir='pd')
    assert names(PromptRouter(PromptBank(NINE), ['vi', 'ir']).route(text)) == dict(vi='rn', ir='pd')


def test_canonical_sentences_of_further_tasks_route_to_them(warnings):
    more = PromptBank(NINE)
    router = PromptRouter(more, ['vi', 'ir'])
    for key in NINE:
        assert {route.task for route in router.route(more.canonical(key)).values()} <= {key, PSEUDO_TASK}
        if key in ('ns', 'st', 'bl', 'rn'):
            sentences = more.sentences(key, 'test')
            found = sum(key in {route.task for route in router.route(s).values()} for s in sentences)
            assert found / len(sentences) > 0.9, key


def test_bank_is_deterministic_by_seed(bank):
    assert PromptBank().sentences('ll') == bank.sentences('ll')
    assert PromptBank(seed=1).sentences('ll') != bank.sentences('ll')


def test_sample(bank):
    drawn = [bank.sample('hz', np.random.default_rng(3), 'val') for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] in bank.sentences('hz', 'val')
    rng = np.random.default_rng(0)
    assert {bank.sample('pd', rng, split) for split in SPLITS for _ in range(5)} == {bank.canonical('pd')}
    assert len({bank.sample('ll', rng) for _ in range(50)}) > 30


def test_unknown_names(bank):
    with pytest.raises(KeyError, match=r"'haze' is not a known task. .*Known: ll, hz"):
        bank.index('haze')
    with pytest.raises(KeyError, match=r"Did you mean 'sr'"):
        bank.task('srr')
    with pytest.raises(ValueError, match="split must be one of train, val, test or None; got 'dev'"):
        bank.sentences('ll', 'dev')
    with pytest.raises(KeyError, match="'xx' is not a known built-in task"):
        PromptBank(['xx', 'pd'])
    with pytest.raises(TypeError, match='tasks must be a list'):
        PromptBank('ll')
    with pytest.raises(ValueError, match='each task may be given once'):
        PromptBank(['ll', 'll', 'pd'])


def metal_artefacts(**changes):
    return {
        'key': 'ma',
        'modality': 'ct',
        'defects': ['metal artefacts', 'streaks around the implant', 'bright metal streaks'],
        'remedies': ['remove the streaks from {image}', 'suppress the metal artefacts of {image}'],
        'patterns': [r'\bmetal\w*', r'\bstreaks?\b'],
        'canonical': 'The CT image has metal artefacts, please remove them.',
        **changes,
    }


def test_a_task_and_a_modality_of_ones_own(warnings):
    bank = PromptBank(
        [metal_artefacts(), 'pd'], modality_words={'ct': ['ct', 'computed tomography', r'x-?ray'], 'mri': ['mri', 'mr']}
    )
    assert bank.keys == ('ma', 'pd')
    sentences = bank.sentences('ma')
    assert len(sentences) >= 300
    assert any('computed tomography' in sentence for sentence in sentences)
    assert not any('x-?' in sentence for sentence in sentences)
    router = PromptRouter(bank, ['mri', 'ct'])
    assert names(router.route('The X-ray shows streaks')) == {'mri': 'pd', 'ct': 'ma'}
    assert not warnings
    assert names(router.route('The MR image shows streaks')) == {'mri': 'pd', 'ct': 'pd'}
    assert "asks for 'ma' on 'mri'" in warnings[0][1]


def test_sentences_speak_of_the_modalities_of_the_model_alone():
    task = metal_artefacts(modality=None)
    bank = PromptBank([task, 'pd'], modality_words={'ct': ['ct']}, modalities=('mri', 'ct'))
    assert bank.modality_words == {'mri': ('mri',), 'ct': ('ct',)}
    sentences = ' '.join(sentence.lower() for key in bank.keys for sentence in bank.sentences(key))
    assert 'mri' in sentences
    assert 'visible' not in sentences.replace('visible defect', '')
    assert 'infrared' not in sentences
    default, explicit = PromptBank(), PromptBank(modalities=('vi', 'ir'))
    assert all(default.sentences(key) == explicit.sentences(key) for key in default.keys)


def test_tasks_and_words_of_a_modality_that_the_model_lacks():
    with pytest.raises(ValueError, match=r"task 'll' belongs to modality 'vi', and the modalities are \('mri', 'ct'\)"):
        PromptBank(['ll', 'pd'], modalities=('mri', 'ct'))
    with pytest.raises(KeyError, match=r"modality_words: 'mrt' is not a known modality\. Did you mean 'mri'"):
        PromptBank(['pd'], modality_words={'mrt': ['mr']}, modalities=('mri', 'ct'))


def test_a_modality_without_words_is_called_by_its_name(warnings):
    bank = PromptBank([metal_artefacts(modality='depth'), 'pd'])
    assert any('depth' in sentence for sentence in bank.sentences('ma'))
    assert names(PromptRouter(bank, ['depth']).route('depth: metal')) == {'depth': 'ma'}


def test_a_task_without_modality_goes_where_it_is_named_or_everywhere():
    router = PromptRouter(PromptBank([metal_artefacts(modality=None), 'pd']), ['vi', 'ir'])
    assert names(router.route('metal in the thermal image')) == {'vi': 'pd', 'ir': 'ma'}
    assert names(router.route('metal')) == {'vi': 'ma', 'ir': 'ma'}


def test_keys_are_found_whatever_their_case():
    router = PromptRouter(PromptBank([metal_artefacts(key='MA', modality='ir'), 'pd']), ['vi', 'ir'])
    assert names(router.route('ma')) == names(router.route({'ir': 'MA'})) == {'vi': 'pd', 'ir': 'MA'}


def test_a_dict_with_a_built_in_key_changes_only_what_it_names():
    task = build_task({'key': 'll', 'canonical': 'Light!'})
    assert task.canonical == 'Light!'
    assert task.patterns == TASKS['ll'].patterns


@pytest.mark.parametrize(
    ('changes', 'error', 'match'),
    [
        ({'patern': []}, TypeError, "'patern' is not a known field. Did you mean 'patterns'"),
        ({'defects': 'metal'}, TypeError, 'defects must be a list'),
        ({'defects': []}, ValueError, 'defects must not be empty'),
        ({'patterns': ['(']}, ValueError, 'not a valid regular expression'),
        ({'canonical': ' '}, ValueError, 'canonical must be a sentence'),
        ({'key': 'a/b'}, ValueError, 'a task key is'),
    ],
)
def test_bad_task(changes, error, match):
    with pytest.raises(error, match=match):
        PromptBank([metal_artefacts(**changes), 'pd'])
    with pytest.raises(TypeError, match=r"needs defects, remedies, canonical besides what is given: .*'key'"):
        PromptBank([{'key': 'new'}])


def test_sentences_from_files(tmp_path):
    lines = [f'Sentence number {i}, it is dark.' for i in range(200)]
    (tmp_path / 'll.txt').write_text('\ufeff' + '\n'.join([*lines, '', lines[0]]), encoding='utf-8')
    bank = PromptBank(['ll', 'pd'], folder=str(tmp_path))
    assert set(bank.sentences('ll')) == {*lines, TASKS['ll'].canonical}
    assert len(bank.sentences('ll', 'val')) > 5
    assert len(bank.sentences('ll', 'test')) > 5
    (tmp_path / 'll.txt').write_text('\n'.join([*lines, 'One more.']), encoding='utf-8')
    longer = PromptBank(['ll', 'pd'], folder=str(tmp_path))
    assert set(bank.sentences('ll', 'val')) <= set(longer.sentences('ll', 'val'))
    (tmp_path / 'll.txt').write_text('Only one.\n', encoding='utf-8')
    short = PromptBank(['ll', 'pd'], folder=str(tmp_path))
    assert short.sentences('ll', 'train') == (TASKS['ll'].canonical, 'Only one.')
    with pytest.raises(ValueError, match="task 'll' has no sentence in split 'val'"):
        short.sample('ll', np.random.default_rng(0), 'val')


def test_bad_sentence_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"task 'hz': .*hz\.txt is missing"):
        PromptBank(['hz', 'pd'], folder=str(tmp_path))
    (tmp_path / 'hz.txt').write_text(' \n\n')
    with pytest.raises(ValueError, match=r'hz\.txt is empty'):
        PromptBank(['hz', 'pd'], folder=str(tmp_path))


def test_a_head_on_a_bag_of_words_learns_unseen_wording(bank):
    torch.manual_seed(0)
    encoder = TextEncoder(HashBag(), num_classes=len(bank))
    rows = [(sentence, bank.index(key)) for key in bank.keys for sentence in bank.sentences(key, 'train')]
    vectors, labels = encoder.backbone.embed([row[0] for row in rows]), torch.tensor([row[1] for row in rows])
    optimizer = torch.optim.AdamW(encoder.projector.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        batch = torch.randint(len(rows), (128,), generator=generator)
        loss = nn.functional.cross_entropy(encoder.projector(vectors[batch])[1], labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def accuracy(sets):
        guesses = {key: encoder.classify(list(sentences)).argmax(1) for key, sentences in sets.items()}
        return np.mean(np.concatenate([guesses[key] == bank.index(key) for key in sets]))

    assert accuracy({key: bank.sentences(key, 'test') for key in bank.keys}) >= 0.95
    assert accuracy(FREE) >= 0.95
    assert accuracy(UNSEEN) >= 0.9


# ---- router ----


@pytest.mark.parametrize(('text', 'vi', 'ir'), ROUTED)
def test_route(bank, warnings, text, vi, ir):
    routes = PromptRouter(bank, ['vi', 'ir']).route(text)
    assert names(routes) == {'vi': vi, 'ir': ir}
    assert not warnings
    assert all(route.sentence == bank.canonical(route.task) for route in routes.values())


def test_modalities_may_come_in_any_order(bank):
    for text, vi, ir in ROUTED:
        routes = PromptRouter(bank, ['ir', 'vi']).route(text)
        assert list(routes) == ['ir', 'vi']
        assert names(routes) == {'vi': vi, 'ir': ir}, text


@pytest.mark.parametrize(('text', 'message'), WARNED)
def test_what_no_task_covers_is_left_out_with_a_warning(bank, warnings, text, message):
    assert names(PromptRouter(bank, ['vi', 'ir']).route(text)) == {'vi': 'pd', 'ir': 'pd'}
    assert [level for level, _ in warnings] == [logging.WARNING]
    assert message in warnings[0][1]


def test_two_tasks_on_one_modality(bank, warnings):
    routes = PromptRouter(bank, ['vi', 'ir']).route('The visible image is hazy and too dark, the thermal one pixelated')
    assert names(routes) == {'vi': 'hz', 'ir': 'sr'}
    assert len(warnings) == 1
    assert "two tasks for 'vi': 'hz' is used, 'll' is not" in warnings[0][1]


def test_task_of_a_modality_that_the_model_lacks(bank, warnings):
    assert names(PromptRouter(bank, ['vi']).route('low contrast')) == {'vi': 'pd'}
    assert "belongs to 'ir'; the model has ('vi',)" in warnings[0][1]


def test_sources(bank, warnings):
    router = PromptRouter(bank, ['vi', 'ir'])
    assert router.route(None)['vi'] == Route('pd', bank.canonical('pd'), 'default')
    assert router.route('too dark')['vi'] == Route('ll', bank.canonical('ll'), 'pattern')
    assert router.route('ll')['vi'].source == 'key'
    assert router.route('too dark')['ir'].source == 'default'


def test_dict(bank, warnings):
    router = PromptRouter(bank, ['vi', 'ir'])
    routes = router.route({'ir': 'sr', 'vi': 'It is very dark'})
    assert names(routes) == {'vi': 'll', 'ir': 'sr'}
    assert [route.source for route in routes.values()] == ['pattern', 'key']
    assert names(router.route({'vi': 'oe'})) == {'vi': 'oe', 'ir': 'pd'}
    assert names(router.route({'vi': None, 'ir': 'infrared, low contrast'})) == {'vi': 'pd', 'ir': 'lc'}
    assert not warnings
    assert names(router.route({'ir': 'hz'})) == {'vi': 'pd', 'ir': 'hz'}
    assert "'hz' is not one that 'ir' was trained on" in warnings[0][1]
    assert names(router.route({'ir': 'foggy'})) == {'vi': 'pd', 'ir': 'pd'}
    assert "asks for 'hz' on 'ir'" in warnings[1][1]


def test_user_text_is_embedded_on_request(bank):
    routes = PromptRouter(bank, ['vi', 'ir'], use_user_text=True).route('Hello, the visible picture is TOO dark!')
    assert routes['vi'].sentence == 'the visible picture is too dark'
    assert routes['ir'].sentence == bank.canonical('pd')


def test_classifier_is_asked_only_where_patterns_are_silent(bank, warnings):
    asked = []

    def classify(clauses):
        asked.extend(clauses)
        scores = np.full((len(clauses), 6), 0.02)
        scores[:, bank.index('ll')] = [0.9 if 'owl' in clause else 0.5 for clause in clauses]
        return scores

    router = PromptRouter(bank, ['vi', 'ir'], classify)
    assert names(router.route('The visible image is hazy, as an owl likes it')) == {'vi': 'hz', 'ir': 'pd'}
    assert names(router.route('The visible image is not dark')) == {'vi': 'pd', 'ir': 'pd'}
    assert not asked
    routes = router.route('Please, as an owl likes it')
    assert asked == ['as an owl likes it']
    assert routes['vi'] == Route('ll', bank.canonical('ll'), 'classifier')
    assert [message for _, message in warnings] == [
        "no known words in 'as an owl likes it'; the text head takes it for 'll'"
    ]
    assert names(router.route('as a cat likes it')) == {'vi': 'pd', 'ir': 'pd'}
    assert 'no task recognised' in warnings[1][1]
    assert names(router.route({'vi': 'for an owl'})) == {'vi': 'll', 'ir': 'pd'}
    with pytest.raises(ValueError, match=r'classify must return shape \(1, 6\), got \(1, 2\)'):
        PromptRouter(bank, ['vi'], lambda clauses: np.ones((1, 2))).route('for an owl')


def test_classifier_hears_all_that_is_said_of_one_modality(bank, warnings):
    asked = []

    def classify(clauses):
        asked.extend(clauses)
        scores = np.zeros((len(clauses), 6))
        scores[range(len(clauses)), [bank.index('sr' if 'heat' in clause else 'll') for clause in clauses]] = 1
        return scores

    router = PromptRouter(bank, ['vi', 'ir'], classify)
    assert names(router.route('For this input, as owls like it')) == {'vi': 'll', 'ir': 'pd'}
    assert names(router.route('The visible photo, taken today, is gone and the heat map, alas, is odd')) == {
        'vi': 'll',
        'ir': 'sr',
    }
    assert asked == [
        'as owls like it',
        'the visible photo taken today, is gone',
        'the heat map, alas, is odd',
    ]


def test_four_and_eightfold_super_resolution():
    router = PromptRouter(PromptBank(['ll', 'sr4', 'sr8', 'pd']), ['vi', 'ir'])
    expected = {
        'super-resolve by x8': 'sr8',
        'x8 super-resolution': 'sr8',
        'upscale the thermal image eight times': 'sr8',
        'upscale x4': 'sr4',
        'low resolution': 'sr4',
        'increase the resolution': 'sr4',
    }
    assert {text: router.route(text)['ir'].task for text in expected} == expected


@pytest.mark.parametrize('text', ['', '  \n', {'vi': ' '}, '\u200b\ufeff', '\u3000'])
def test_blank(bank, text):
    with pytest.raises(ValueError, match='the prompt is blank; give a sentence such as'):
        PromptRouter(bank, ['vi', 'ir']).route(text)


@pytest.mark.parametrize(
    'unit',
    ['a', 'low ', 'not ', 'the contrast ', 'increase the its the its ', ',', 'x4', '图', 'tone it ', 'contrast is '],
)
def test_long_prompts_are_quick(bank, warnings, unit):
    router = PromptRouter(bank, ['vi', 'ir'])
    start = time.perf_counter()
    with pytest.raises(ValueError, match='the prompt has 10,000 characters; at most 2,000'):
        router.route((unit * 10_000)[:10_000])
    router.route((unit * 2000)[:2000])
    assert time.perf_counter() - start < 2


def test_bad_routing(bank):
    router = PromptRouter(bank, ['vi', 'ir'])
    with pytest.raises(ValueError, match=r"the prompt names .*'vis' is not .*Did you mean 'vi'\? Known: vi, ir"):
        router.route({'vis': 'll'})
    with pytest.raises(TypeError, match='got int'):
        router.route(3)
    with pytest.raises(ValueError, match="no task 'pd'"):
        PromptRouter(PromptBank(['ll']), ['vi'])
    with pytest.raises(ValueError, match='list of different names'):
        PromptRouter(bank, ['vi', 'vi'])
    with pytest.raises(ValueError, match=r'threshold is a probability in \[0, 1\], got 60'):
        PromptRouter(bank, ['vi'], threshold=60)


def test_canonical_sentences_route_to_their_own_task(bank, warnings):
    router = PromptRouter(bank, ['vi', 'ir'])
    for key in bank.keys:
        routes = router.route(unicodedata.normalize('NFD', bank.canonical(key)))
        assert {route.task for route in routes.values()} == {key, PSEUDO_TASK}
    assert not warnings


def test_most_sentences_of_the_bank_route_to_their_own_task(bank, warnings):
    router = PromptRouter(bank, ['vi', 'ir'])
    for key in bank.keys[:-1]:
        sentences = bank.sentences(key, 'test')
        found = sum(key in {route.task for route in router.route(sentence).values()} for sentence in sentences)
        assert found / len(sentences) > 0.5, key


# ---- sentences of many templates; those of the half 'unseen' were frozen before the word lists were written ----


def told():
    path = Path(__file__).parent / 'prompt_sentences.tsv'
    with path.open(encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def test_the_two_halves_share_no_template():
    rows = told()
    halves = {half: {row['template'] for row in rows if row['split'] == half} for half in ('develop', 'unseen')}
    assert not halves['develop'] & halves['unseen']
    assert len({row['sentence'] for row in rows}) == len(rows) >= 600
    assert sum(row['template'].startswith('zh') for row in rows) >= 60


@pytest.mark.parametrize(('half', 'floor'), [('develop', 0.98), ('unseen', 0.95)])
def test_sentences_reach_the_right_task_in_both_modalities(bank, warnings, half, floor):
    router = PromptRouter(bank, ['vi', 'ir'])
    right, silent = {'en': [], 'zh': []}, 0
    for row in told():
        if row['split'] == half:
            warnings.clear()
            good = names(router.route(row['sentence'])) == {'vi': row['vi'], 'ir': row['ir']}
            kind = row['template'].rsplit('-', 1)[0].rstrip('2')
            if kind.endswith('none'):  # a fault that the model has no task for
                good = good and any('no task for' in message for _, message in warnings)
            right['zh' if kind.startswith('zh') else 'en'].append(good)
            silent += not good and not warnings
    assert np.mean(right['en'] + right['zh']) >= floor
    assert np.mean(right['en']) >= floor
    assert np.mean(right['zh']) >= 0.95
    assert silent / sum(map(len, right.values())) <= 0.02


@pytest.mark.parametrize(
    ('text', 'vi', 'ir'),
    [
        # not to do something is no complaint
        ('do not make it brighter', 'pd', 'pd'),
        ('please do not make the visible image brighter', 'pd', 'pd'),
        ('I do not want dehazing', 'pd', 'pd'),
        ("don't use super-resolution on the infrared", 'pd', 'pd'),
        ('不要让图像变亮', 'pd', 'pd'),
        ('请不要把可见光图像调亮', 'pd', 'pd'),
        ('不希望去雾', 'pd', 'pd'),
        ('I do not like the haze', 'hz', 'pd'),
        ('it does not make anything out in the dark', 'll', 'pd'),
        ("I can't make sense of this dark picture", 'll', 'pd'),
        ('the lamps do not make the dark street visible', 'll', 'pd'),
        ('do not make it so dark', 'll', 'pd'),
        ('不想让画面这么暗', 'll', 'pd'),
        ('别让画面太暗', 'll', 'pd'),
        ('为什么不把雾去掉', 'hz', 'pd'),
        ('要不要把雾去掉', 'hz', 'pd'),
        ('别让雾挡住车辆', 'hz', 'pd'),
        ('请不要让雾影响融合', 'hz', 'pd'),
        ('不要让画面有雾', 'hz', 'pd'),
        ('别把雾留在图里', 'hz', 'pd'),
        ('别让黑暗遮住行人', 'll', 'pd'),
        ('不要让行人被黑暗遮挡', 'll', 'pd'),
        ('别把暗部丢了', 'll', 'pd'),
        ('不要让过曝影响画面', 'oe', 'pd'),
        ('不要让红外对比度低', 'pd', 'lc'),
        ('不想让它变亮', 'pd', 'pd'),
        ('不希望把它提亮', 'pd', 'pd'),
        ('不想对它去雾', 'pd', 'pd'),
        ('the pair was resampled to 1280x1024', 'pd', 'pd'),
        ('video converted to 1920x1080, dark', 'll', 'pd'),
        ('the output should be resized to 1024x768', 'pd', 'pd'),
        ('both pictures were cropped to 640x480, the visible is dark', 'll', 'pd'),
        ('scale everything down to 640x480', 'pd', 'pd'),
        ('upscale the infrared to 1280x1024', 'pd', 'sr'),
        ('none are dark', 'pd', 'pd'),
        ('the pictures are fine, none hazy', 'pd', 'pd'),
        ('you should not make the picture brighter', 'pd', 'pd'),
        ('you must not make the visible image brighter', 'pd', 'pd'),
        ('I do not want it brighter', 'pd', 'pd'),
        ('I ask you not to make it brighter', 'pd', 'pd'),
        ('no need to make it brighter', 'pd', 'pd'),
        ("I don't want you to make it brighter", 'pd', 'pd'),
        ('I do not want haze removal, just more light', 'll', 'pd'),
        ('could you please make it bright', 'll', 'pd'),
        ('I want the visible image to be bright', 'll', 'pd'),
        ('I want it bright', 'll', 'pd'),
        ('it should look bright', 'll', 'pd'),
        ('make the picture very bright please', 'll', 'pd'),
        ('make it bright enough to see', 'll', 'pd'),
        ('I do not want this darkness', 'll', 'pd'),
        ('it should not be dark', 'll', 'pd'),
        ('the scene must not look hazy', 'hz', 'pd'),
        ('I do not want the picture so dark', 'll', 'pd'),
        ('I do not want a dark picture', 'll', 'pd'),
        ('I do not want it dark', 'll', 'pd'),
        # of several pictures, or hardly
        ('none of the images is noisy', 'pd', 'pd'),
        ('neither of them is hazy', 'pd', 'pd'),
        ('hardly any noise', 'pd', 'pd'),
        ('no problem with noise', 'pd', 'pd'),
        ('噪声不大', 'pd', 'pd'),
        ('hardly any light', 'll', 'pd'),
        ('none of the dark regions is readable', 'll', 'pd'),
        # praise, and sizes
        ('the infrared image has high contrast', 'pd', 'pd'),
        ('the visible image is dark, the infrared has high contrast', 'll', 'pd'),
        ('the thermal image has a high dynamic range', 'pd', 'pd'),
        ('红外图像对比度高', 'pd', 'pd'),
        ('红外图像分辨率不低', 'pd', 'pd'),
        ('红外图像分辨率不高', 'pd', 'sr'),
        ('visible 1280x720, infrared 640x512; the visible image is dark', 'll', 'pd'),
        ('infrared of 80x60 pixels', 'pd', 'sr'),
        ('the infrared image has a resolution of 160x120', 'pd', 'sr'),
        ('scale the infrared up to 640x480', 'pd', 'sr'),
        ('the thermal image has large pixels', 'pd', 'sr'),
        ('I would like a high-resolution thermal image', 'pd', 'sr'),
        ('high contrast please in the infrared', 'pd', 'lc'),
        ('希望红外对比度高', 'pd', 'lc'),
        ('红外分辨率高不了', 'pd', 'sr'),
        # a wish is not the fault that has its name
        ('make the visible image bright', 'll', 'pd'),
        ('I want a bright picture', 'll', 'pd'),
        ('the visible image is bright', 'oe', 'pd'),
        ('make it less bright', 'oe', 'pd'),
        ('the headlights make it too bright', 'oe', 'pd'),
        ("I don't like a bright picture", 'oe', 'pd'),
        ('the picture has strong light from the sun', 'oe', 'pd'),
    ],
)
def test_refusals_praise_and_wishes(text, vi, ir):
    router = PromptRouter(PromptBank(('ll', 'hz', 'oe', 'lc', 'sr', 'ns', 'st', 'rn', 'pd')), ['vi', 'ir'])
    assert names(router.route(text)) == {'vi': vi, 'ir': ir}


@pytest.mark.parametrize(
    ('word', 'vi', 'ir'),
    [('washed out', 'oe', 'lc'), ('dull', 'hz', 'lc'), ('faded', 'hz', 'lc'), ('flat', 'hz', 'lc')],
)
def test_a_word_means_what_it_means_in_its_modality(bank, warnings, word, vi, ir):
    router = PromptRouter(bank, ['vi', 'ir'])
    assert names(router.route(f'The visible image is {word}.')) == {'vi': vi, 'ir': 'pd'}
    assert names(router.route(f'The thermal image is {word}.')) == {'vi': 'pd', 'ir': ir}
    assert names(router.route({'ir': word})) == {'vi': 'pd', 'ir': ir}
    assert names(router.route({'vi': word})) == {'vi': vi, 'ir': 'pd'}
    assert not warnings
    router.route(f'It is {word}.')
    assert len(warnings) == 1
    assert f"'{word}' " in warnings[0][1]
    assert "'lc'" in warnings[0][1]


@pytest.mark.parametrize(
    ('plug_in', 'sentence', 'word', 'other'),
    [
        (dict(key='smoke', defects=['thick smoke']), 'remove the smoke', 'smoke', 'hz'),
        (dict(key='fl', defects=['flicker'], patterns=[r'\bnight\w*']), 'the visible night scene', 'night', 'll'),
        (dict(key='ls', defects=['dust on the lens']), 'There is dust.', 'dust', 'hz'),
        (dict(key='gl', defects=['reflections'], states=['full of glare']), 'full of glare', 'full of glare', 'oe'),
    ],
)  # fmt: skip
def test_words_of_a_plug_in_go_before_those_of_a_built_in_task(warnings, plug_in, sentence, word, other):
    plug_in = dict(modality='vi', remedies=['mend {image}'], canonical='Mend the visible image.', **plug_in)
    router = PromptRouter(PromptBank(['ll', 'hz', 'oe', 'lc', 'sr', plug_in, 'pd'], per_template=1), ['vi', 'ir'])
    assert names(router.route(sentence)) == {'vi': plug_in['key'], 'ir': 'pd'}
    assert [text for _, text in warnings] == [
        f"'{word}' is a word of '{plug_in['key']}' and of '{other}'; '{plug_in['key']}' is used"
    ]
    warnings.clear()
    assert names(router.route('fog')) == {'vi': 'hz', 'ir': 'pd'}
    assert not warnings


def test_a_plug_in_takes_over_a_fault_without_a_task(warnings):
    stripes = dict(
        key='st', modality='ir', defects=['stripe noise'], remedies=['destripe {image}'], canonical='Destripe.'
    )
    router = PromptRouter(PromptBank([stripes, 'pd'], per_template=1), ['vi', 'ir'])
    assert names(router.route('stripe noise')) == {'vi': 'pd', 'ir': 'st'}
    assert not warnings


@pytest.mark.parametrize(
    ('tasks', 'sentence', 'fault', 'vi'),
    [
        (['ll', 'pd'], 'It is noisy.', 'noise', 'pd'),
        (['ll', 'pd'], 'The photo is out of focus.', 'blur', 'pd'),
        (['ll', 'pd'], '红外图像有条纹', 'stripes', 'pd'),
        (['ll', 'pd'], 'dark, noisy and rainy', 'noise, rain', 'll'),
        (['ll', 'pd'], 'a foggy road', 'haze', 'pd'),
        (['ll', 'pd'], 'The thermal image has low contrast.', 'low contrast', 'pd'),
        (['ll', 'sr', 'pd'], 'overexposed', 'overexposure', 'pd'),
    ],
)
def test_a_fault_without_a_task_is_said(warnings, tasks, sentence, fault, vi):
    router = PromptRouter(PromptBank(tasks, per_template=1), ['vi', 'ir'], lambda clauses: pytest.fail(str(clauses)))
    assert names(router.route(sentence)) == {'vi': vi, 'ir': 'pd'}
    assert [text for _, text in warnings] == [
        f'no task for {fault} in this model ({sentence!r}); known: {", ".join(tasks)}'
    ]
    warnings.clear()
    router.route('not noisy, not blurred')
    assert not warnings


@pytest.mark.parametrize('text', ['dark\0', '\x1b[31mtoo dark', 'dark \ud800', '\x07', {'vi': 'too\x08 dark'}])
def test_control_characters(bank, text):
    with pytest.raises(
        ValueError, match=r'the prompt has the control character U\+(0000|001B|D800|0007|0008) at position'
    ):
        PromptRouter(bank, ['vi', 'ir']).route(text)


@pytest.mark.parametrize(
    'text', ['\ufefftoo dark', 'too da\u00adrk', 'too\tdark\n', 'too \u202edark', '🙂 too dark', '太暗']
)
def test_invisible_characters_and_emoji_do_not_matter(bank, warnings, text):
    assert names(PromptRouter(bank, ['vi', 'ir']).route(text)) == {'vi': 'll', 'ir': 'pd'}
    assert not warnings


@pytest.mark.parametrize(
    ('text', 'script'), [('Слишком темно', 'CYRILLIC'), ('صورة مظلمة', 'ARABIC'), ('너무 어둡다', 'HANGUL')]
)
def test_other_scripts_are_said_and_not_guessed(bank, warnings, text, script):
    router = PromptRouter(bank, ['vi', 'ir'], lambda clauses: pytest.fail(str(clauses)))
    assert names(router.route(text)) == {'vi': 'pd', 'ir': 'pd'}
    assert len(warnings) == 1
    assert f'It is written in {script}; prompts are read in English and Chinese.' in warnings[0][1]


def test_the_text_of_a_user_stands_for_its_task_or_the_canonical_sentence_does(bank, warnings):
    def classify(clauses):
        return np.eye(6)[[bank.index('oe' if 'night' in clause else 'll') for clause in clauses]]

    router = PromptRouter(bank, ['vi', 'ir'], classify, use_user_text=True)
    assert router.route('it is too dark')['vi'] == Route('ll', 'it is too dark', 'pattern')
    assert not warnings
    assert router.route('it is night')['vi'] == Route('ll', bank.canonical('ll'), 'pattern')
    assert "asks for 'll', but the text head reads 'oe'" in warnings[0][1]


def test_the_shipped_text_head_reads_each_canonical_sentence_as_its_task():
    from lurefusion.apis import FusionInferencer

    model = FusionInferencer().model
    keys = model.prompts.keys
    read = model.text_encoder.classify([model.prompts.canonical(key) for key in keys])
    assert [keys[k] for k in read.argmax(1)] == list(keys)
    assert read.max(1).min() > 0.9


def test_a_name_within_a_longer_one_is_none(warnings):
    names_of = ('vi', 'ir', 'nir')
    words = dict(nir=('near-infrared', 'nir'))
    lc = dict(key='lc3', modality=None, defects=('low contrast',), remedies=('raise the contrast',),
              patterns=('low contrast',), canonical='Low contrast.')  # fmt: skip
    bank = PromptBank(('ll', lc, 'pd'), words, modalities=names_of)
    router = PromptRouter(bank, names_of)
    assert names(router.route('the near-infrared image has low contrast and the visible one is dark')) == {
        'vi': 'll', 'ir': 'pd', 'nir': 'lc3',
    }  # fmt: skip
    assert names(router.route('the near-infrared image has low contrast')) == {'vi': 'pd', 'ir': 'pd', 'nir': 'lc3'}
    assert names(router.route('the infrared image has low contrast')) == {'vi': 'pd', 'ir': 'lc3', 'nir': 'pd'}


def test_names_that_are_no_words_have_parts_too():
    assert named_parts(['t1-ce=lc', 'flair=ns'], ('t1-ce', 't1', 'flair')) == {'t1-ce': 'lc', 'flair': 'ns'}
    assert named_parts(['t1-ce=lc'], ('t1', 't1-ce')) == {'t1-ce': 'lc'}
    assert named_parts(['t1=low contrast t1-ce=dark'], ('t1', 't1-ce')) == {'t1': 'low contrast', 't1-ce': 'dark'}


NOTHING_TO_DO = [
    'the visible image should not be dehazed', 'the visible image must not be brightened',
    'the thermal image should not be denoised', 'the fog has been removed already', 'the fog was removed',
    'the noise has already been removed', 'the visible image is already dehazed', 'rain was filtered out',
    'keep the fog', 'it should stay dark', 'preserve the dark atmosphere', 'avoid brightening the visible image',
    'contrast of the thermal image is too high', "the thermal image's contrast is not low", 'the haze is negligible',
    'resolution of the thermal image is fine', 'noise is low', 'dark is fine', 'the noise is acceptable',
]  # fmt: skip


@pytest.mark.parametrize('sentence', NOTHING_TO_DO)
def test_who_forbids_a_treatment_or_says_that_it_was_done_gets_none(sentence):
    router = PromptRouter(PromptBank(('ll', 'hz', 'lc', 'sr', 'ns', 'rn', 'pd')), ['vi', 'ir'])
    assert names(router.route(sentence)) == {'vi': 'pd', 'ir': 'pd'}


@pytest.mark.parametrize(
    ('sentence', 'vi', 'ir'),
    [
        ('the noise of the infrared image should be removed', 'pd', 'ns'),
        ('the haze has not been removed', 'hz', 'pd'),
        ('the haze is to be removed', 'hz', 'pd'),
        ('keep the noise of the infrared image down', 'pd', 'ns'),
        ('the visible image remains dark', 'll', 'pd'),
        ('the visible image should not be so dark', 'll', 'pd'),
        ('it should not be hazy', 'hz', 'pd'),
        ('the thermal image is already flat, its contrast is not high enough', 'pd', 'lc'),
        ('the contrast of the infrared image is low', 'pd', 'lc'),
        ('avoid haze', 'hz', 'pd'),
        ('the haze is far from negligible', 'hz', 'pd'),
        ('the noise in the infrared image is not acceptable', 'pd', 'ns'),
    ],
)
def test_their_neighbours_still_complain(sentence, vi, ir):
    router = PromptRouter(PromptBank(('ll', 'hz', 'lc', 'sr', 'ns', 'rn', 'pd')), ['vi', 'ir'])
    assert names(router.route(sentence)) == {'vi': vi, 'ir': ir}


def test_nothing_is_visible_is_no_praise(bank, warnings):
    PromptRouter(bank, ['vi', 'ir']).route('nothing is visible')
    assert any('no task recognised' in message for _, message in warnings)
