"""Properties of the router over texts of every kind."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lurefusion.prompts import PromptBank, PromptRouter
from lurefusion.prompts.grammar import MAX_PROMPT_CHARACTERS

BANK = PromptBank()
WORDS = 'the visible infrared image is not too dark hazy noisy low contrast and but both or no fog auto ll'.split()
WORDS += [
    '雾',
    '可见光',
    '红外',
    '很暗',
    *',.;()[*\'"',
    '\\',
    '{0}',
    '%s',
    '\n',
    '\u202e',
    '\x00',
    '\ud800',
    '<script>',
    '🙂',
]


def classify(sentences: list[str]) -> np.ndarray:
    return np.full((len(sentences), len(BANK)), 1 / len(BANK))


ROUTER = PromptRouter(BANK, ('vi', 'ir'), classify, use_user_text=True)
TEXT = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=14).map(' '.join))


@given(
    st.one_of(
        TEXT, st.dictionaries(st.sampled_from(['vi', 'ir', 'mri', '']), st.one_of(st.none(), TEXT, st.integers()))
    )
)
def test_a_prompt_gives_every_modality_one_known_task_or_is_refused(prompt):
    try:
        routes = ROUTER.route(prompt)
    except (ValueError, TypeError, KeyError) as error:
        assert str(error)
        return
    assert list(routes) == ['vi', 'ir']
    for route in routes.values():
        assert route.task in (*BANK.keys, 'auto')
        assert route.sentence.strip()
        assert not any(ord(char) < 32 and not char.isspace() for char in route.sentence)


@pytest.mark.parametrize('length', [MAX_PROMPT_CHARACTERS + 1, 10_000])
@pytest.mark.parametrize('char', ['a', ' ', 'not ', '雾', '(', '\u200b'])
def test_a_text_that_is_too_long_is_refused_at_once(char, length):
    with pytest.raises(ValueError, match=rf'the prompt has {length:,} characters; at most 2,000'):
        ROUTER.route((char * length)[:length])


TEXTS = [
    'a',
    '(',
    'not ',
    'dark ',
    'or ',
    'visible ',
    '雾',
    '\ufdfa',
    "n't ",
    'the fog has lifted ',
    'a' * 50 + '-',
    '((',
    ', ',
]


@pytest.mark.parametrize('text', TEXTS)
def test_no_text_takes_long(text):
    """Patterns of which a text makes powers would take minutes."""
    begun = time.process_time()
    for whole in (
        text * (MAX_PROMPT_CHARACTERS // len(text)),
        'hazy ' + text * ((MAX_PROMPT_CHARACTERS - 5) // len(text)),
    ):
        try:
            ROUTER.route(whole)
        except ValueError as error:
            assert 'blank' in str(error) or 'spelt out' in str(error)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize('char', ['\x00', '\x07', '\x1b', '\x7f', '\x9b', '\udcff'])
def test_control_characters_are_named(char):
    with pytest.raises(ValueError, match=rf'control character U\+{ord(char):04X} at position 5'):
        ROUTER.route(f'hazy {char} image')
