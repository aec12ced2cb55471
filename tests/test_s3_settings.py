"""Where a volume is and who asks: from what people write, with faults in their words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from provision.errors import InputError
from provision.retry import Patience, Retry
from provision.volume.s3 import DATACENTERS, Keys, Place, S3View, endpoint_of, keys_from, parse_place, settings_from
from provision.volume.s3.place import proxied

RUNPOD = {"RUNPOD_S3_ACCESS_KEY": "user_a", "RUNPOD_S3_SECRET_KEY": "rps_b"}
AWS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}


def nothing_found() -> Keys | None:
    return None


@pytest.mark.parametrize("text", ["s3://vol1", "s3://vol1/"])
def test_a_volume_is_named_by_its_id(text):
    assert parse_place(text) == Place(bucket="vol1")
    assert str(parse_place(text)) == "s3://vol1"


def test_a_folder_of_a_volume_may_be_its_root():
    place = parse_place("s3://vol1/runpod-slim/models/")

    assert place == Place(bucket="vol1", prefix="runpod-slim/models")
    assert place.key("a.bin") == "runpod-slim/models/a.bin"
    assert str(place) == "s3://vol1/runpod-slim/models"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vol1", "does not begin with s3://"),
        ("s3://", "names no volume"),
        ("s3:///a", "names no volume"),
        ("s3://user:pass@vol", "where the volume's id belongs"),
        ("s3://arn:aws:s3", "where the volume's id belongs"),
        ("s3://vol1/../other", "leaves its root"),
        ("s3://vol1/a//b", "empty"),
    ],
)
def test_what_names_no_volume_is_refused_in_words(text, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_place(text)

    assert "s3://VOLUME_ID" in caught.value.hint


@pytest.mark.parametrize("written", ["EU-RO-1", "eu-ro-1", " EU-RO-1 "])
def test_a_data_center_tells_its_endpoint_and_region(written):
    endpoint = endpoint_of(written)

    assert (endpoint.url, endpoint.region) == ("https://s3api-eu-ro-1.runpod.io/", "EU-RO-1")


@pytest.mark.parametrize("name", ["US-TX-3", "EU-RO-11", "romania", ""])
def test_a_data_center_without_s3_is_refused_with_those_that_have_it(name):
    with pytest.raises(InputError) as caught:
        endpoint_of(name)

    assert all(known in caught.value.message for known in DATACENTERS)


def test_runpods_keys_go_before_those_of_aws():
    assert keys_from(AWS | RUNPOD, nothing_found) == Keys(access="user_a", secret="rps_b")
    assert keys_from(AWS, nothing_found) == Keys(access="AKIA", secret="s", token="t")


def test_keys_that_nobody_gave_are_searched_for_last():
    assert keys_from({}, lambda: Keys(access="p", secret="q")).access == "p"


def test_without_keys_both_pairs_and_where_they_are_made_are_named():
    with pytest.raises(InputError) as caught:
        keys_from({}, nothing_found)

    assert all(name in caught.value.message for name in (*RUNPOD, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    assert "Settings > S3 API Keys" in caught.value.hint


@pytest.mark.parametrize("missing", [*RUNPOD, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_pair_is_an_error_that_names_the_other_half(missing):
    pair = RUNPOD if missing in RUNPOD else AWS

    with pytest.raises(InputError, match=f"but {missing} is not"):
        keys_from({name: value for name, value in pair.items() if name != missing}, nothing_found)


def test_a_profile_of_the_aws_command_line_serves(tmp_path, monkeypatch):
    for name in (*RUNPOD, *AWS):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text("[runpod]\naws_access_key_id = user_p\naws_secret_access_key = rps_q\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "runpod")

    assert keys_from({}) == Keys(access="user_p", secret="rps_q")

    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InputError, match="AWS profile"):
        keys_from({})


def test_keys_are_not_shown():
    assert "rps_b" not in repr(keys_from(RUNPOD))
    assert "user_a" not in repr(keys_from(RUNPOD))


def settings(**given):
    asked = {"datacenter": None, "endpoint_url": None, "environment": RUNPOD} | given
    asked["environment"] = RUNPOD | asked["environment"]
    return settings_from("s3://vol1", **asked)


def test_an_endpoint_goes_before_a_data_center_which_then_names_the_region():
    endpoint = settings(endpoint_url="http://127.0.0.1:9000", datacenter="XX-YY-9").endpoint

    assert (endpoint.url, endpoint.region) == ("http://127.0.0.1:9000", "XX-YY-9")


def test_the_region_of_runpods_own_endpoint_is_in_its_name():
    assert settings(endpoint_url="https://s3api-us-ks-2.runpod.io").endpoint.region == "US-KS-2"
    assert settings(endpoint_url="https://s3.example").endpoint.region == "us-east-1"
    assert settings(endpoint_url="https://s3.example", environment={"AWS_REGION": "de"}).endpoint.region == "de"


def test_the_usual_variable_names_the_endpoint_when_nothing_else_does():
    elsewhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}

    assert settings(environment=elsewhere).endpoint.url == "http://127.0.0.1:1"
    assert settings(environment=elsewhere, datacenter="EU-RO-1").endpoint.region == "EU-RO-1"


def test_without_any_of_them_the_data_center_is_asked_for():
    with pytest.raises(InputError) as caught:
        settings()

    assert "--datacenter" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "s3.example",
        "ftp://s3.example",
        "https://",
        "https://me:word@s3.example",
        "https://:word@s3.example",
        "https://s3.example:x",
        "http://[",
        "https://s3/?a",
    ],
)
def test_an_endpoint_that_is_no_address_is_refused_without_repeating_it(url):
    with pytest.raises(InputError) as caught:
        settings(endpoint_url=url)

    assert "word" not in caught.value.message


def opened(**given) -> None:
    S3View.open(settings(**given), Retry(patience=Patience(), sleep=print)).close()


@pytest.mark.parametrize("url", ["http://foo..bar/", "http://-foo.bar/", "http://foo bar/"])
def test_an_endpoint_that_boto3_takes_for_none_is_an_error_of_input(url):
    with pytest.raises(InputError, match="not the address of a server") as caught:
        opened(endpoint_url=url)

    assert "https://HOST" in caught.value.hint


@pytest.mark.parametrize(
    "given", [{"datacenter": "bad region!"}, {"environment": {"AWS_REGION": "x\ny"}}], ids=["option", "variable"]
)
def test_a_region_that_is_none_is_an_error_of_input_on_one_line(given):
    with pytest.raises(InputError, match="is not the name of a region") as caught:
        opened(endpoint_url="http://127.0.0.1:1", **given)

    assert "AWS_REGION" in caught.value.hint
    assert "\n" not in caught.value.message


def test_proxies_are_used_but_for_the_hosts_that_need_none():
    proxies = {"https": "http://proxy:3128", "no": "inside.example"}

    assert proxied("https://s3api-eu-ro-1.runpod.io/", proxies) == {"https": "http://proxy:3128"}
    assert proxied("https://s3.inside.example/", proxies) == {}
    assert proxied("http://s3.example/", proxies) == {}
    assert proxied("http://s3.example/", {"all": "proxy:1"}) == {"http": "http://proxy:1"}


def test_boto3_is_not_imported_before_a_view_is_opened():
    program = "import sys, provision.volume.s3; print(sorted({'boto3', 'botocore'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_without_boto3_the_extra_is_named():
    program = (
        "import sys; sys.modules['boto3'] = None\n"
        "from provision.errors import InputError\n"
        "from provision.retry import Patience, Retry\n"
        "from provision.volume.s3 import S3View, settings_from\n"
        f"settings = settings_from('s3://v', datacenter='EU-RO-1', endpoint_url=None, environment={RUNPOD!r})\n"
        "try:\n    S3View.open(settings, Retry(patience=Patience(), sleep=print))\n"
        "except InputError as error:\n    print(error.hint)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "pip install 'volume-provision[s3]'"
