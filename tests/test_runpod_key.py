"""Where RunPod's API key is found, and that a file which holds one is never quoted."""

from __future__ import annotations

import traceback

import pytest

from provision.errors import InputError
from provision.pods.runpod.key import find_key

KEY = "rpa_SAVEDSAVEDSAVED"


def saved(home, text):
    folder = home / ".runpod"
    folder.mkdir()
    path = folder / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_environment_goes_before_the_file(tmp_path):
    saved(tmp_path, f'[default]\napi_key = "{KEY}"\n')

    assert find_key({"RUNPOD_API_KEY": "rpa_GIVEN"}, tmp_path) == "rpa_GIVEN"


@pytest.mark.parametrize("environment", [{}, {"RUNPOD_API_KEY": ""}, {"RUNPOD_API_KEY": " \n"}])
def test_without_a_variable_the_key_that_runpods_tools_saved_is_used(tmp_path, environment):
    saved(tmp_path, f'[default]\napi_key = "{KEY}"\n')

    assert find_key(environment, tmp_path) == KEY


def test_a_newline_around_a_key_is_no_part_of_it(tmp_path):
    assert find_key({"RUNPOD_API_KEY": "rpa_GIVEN\n"}, tmp_path) == "rpa_GIVEN"


@pytest.mark.parametrize(
    "text", ["", "[other]\napi_key = 'x'\n", "[default]\nname = 'x'\n", "default = 3\n", "[default]\napi_key = ''\n"]
)
def test_a_file_without_a_key_has_none(tmp_path, text):
    saved(tmp_path, text)

    assert find_key({}, tmp_path) is None


def test_without_a_file_there_is_none(tmp_path):
    assert find_key({}, tmp_path) is None
    (tmp_path / ".runpod").write_text("a file where a folder should be")
    assert find_key({}, tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        f'[default]\napi_key = "{KEY}\n', f"[default\napi_key = '{KEY}'", f"api_key: {KEY}",
        f'api_key = "{KEY}" x', b"\xff\xfe" + KEY.encode(), f"[default]\napi_key = ['{KEY}']\n",
        f"[default]\nx = {'[' * 100_000}'{KEY}'",
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_its_key_is_not_shown(tmp_path, text):
    path = saved(tmp_path, text)

    with pytest.raises(InputError) as refused:
        find_key({}, tmp_path)

    assert str(path) in refused.value.message
    assert "runpod config" in refused.value.hint
    assert KEY not in "".join(traceback.format_exception(refused.value))
    behind = refused.value.__context__  # some errors of a parser carry the whole text
    assert behind is None or KEY not in str((behind.args, vars(behind)))
    assert not isinstance(behind, ValueError)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / ".runpod/config.toml").mkdir(parents=True)

    with pytest.raises(InputError, match=r"config\.toml is of no use"):
        find_key({}, tmp_path)
