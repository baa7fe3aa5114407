import pytest

from lurefusion.choices import did_you_mean, names_of, one_of, unknown


def test_one_of_a_few() -> None:
    assert one_of('mode', 'sum', ('mean', 'sum')) == 'sum'
    with pytest.raises(ValueError, match=r"^mode must be one of mean, sum; got 'mea'\. Did you mean 'mean'\?$"):
        one_of('mode', 'mea', ('mean', 'sum'))
    assert one_of('mode', None, ('mean', 'sum'), optional=True) is None
    with pytest.raises(ValueError, match="mean, sum or None; got 'both'"):
        one_of('mode', 'both', ('mean', 'sum'), optional=True)
    with pytest.raises(ValueError, match=r"got 'xyz'$"):
        one_of('mode', 'xyz', ('mean', 'sum'))


def test_nearest_name_whatever_the_case() -> None:
    assert did_you_mean('tgaa', ['TGA', 'Concat']) == " Did you mean 'TGA'?"
    assert did_you_mean('wholly other', ['TGA']) == did_you_mean('x', []) == ''
    assert unknown('task', 'lll', ['ll', 'hz']) == "'lll' is not a known task. Did you mean 'll'? Known: ll, hz"


def test_one_text_is_one_name_and_not_its_letters():
    assert names_of('tasks', ('sr')) == ('sr',) == names_of('tasks', ['sr'])
    assert names_of('tasks', ()) == ()
    for bad in (3, None, [3]):
        with pytest.raises(TypeError, match='tasks must be a list of names'):
            names_of('tasks', bad)
