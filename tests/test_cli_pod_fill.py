"""`provision pod`, as users give it: at a cloud of this machine and at RunPod's stand-in, with pods that really run."""

from __future__ import annotations

import json
import re

import pytest
from cli_pods import DATACENTER, FILES, MANIFEST, Desk, at_runpod, seat, served
from fill_bed import BIG, SMALL, TOKEN, content
from runpod_cloud import RunPodCloud

from provision.errors import ExitCode
from provision.pods.lease import lease_of


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with served(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(params=["local", "runpod"])
def desk(request, tmp_path, hub, monkeypatch, capsys):
    """A locked project at each cloud; in the end no pod is left."""
    seat(tmp_path, hub, monkeypatch)
    desk = Desk(folder=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    desk.lock(MANIFEST)
    if request.param == "local":
        yield desk
        assert desk.json("pod", "ls")[1]["pods"] == []
        return
    with RunPodCloud() as cloud:
        desk.cloud = cloud
        at_runpod(desk)
        yield desk
        assert desk.json("pod", "ls")[1]["pods"] == []
        cloud.assert_clean()


@pytest.fixture
def at_home(tmp_path, hub, monkeypatch, capsys):
    """As `desk`, at this machine alone."""
    seat(tmp_path, hub, monkeypatch)
    desk = Desk(folder=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    desk.lock(MANIFEST)
    return desk


def test_a_volume_is_filled_and_proven_and_the_pod_is_given_back(desk):
    volume = desk.volume()

    code, out, err = desk.run("pod", "fill", "mine", "--volume-id", volume)

    assert code == 0, err
    assert all((desk.held(volume) / "models" / path).read_bytes() == content(path) for path in FILES)
    assert "2 of 2" in out
    assert "as promised" in out
    proof = desk.proof(volume)
    assert (proof["exit_code"], proof["verify"]["ok"], proof["verify"]["mode"]) == (0, True, "full")
    assert proof["volume"]["id"] == volume
    assert len(proof["bill"]["pods"]) == 1
    assert proof["fill"]["fetched_bytes"] == sum(len(content(path)) for path in FILES)


def test_what_stands_is_not_fetched_again_and_what_is_damaged_is_found_by_a_pod_too(desk):
    volume = desk.volume()
    assert desk.run("pod", "fill", "mine", "--volume-id", volume)[0] == 0
    (desk.held(volume) / "models" / SMALL).write_bytes(b"x" * len(content(SMALL)))

    code, document = desk.json("pod", "verify", "mine", "--volume-id", volume)
    assert (code, document["ok"], document["exit_code"]) == (ExitCode.BYTES, False, ExitCode.BYTES)
    assert desk.proof(volume)["verify"]["counts"]["digest"] == 1

    code, document = desk.json("pod", "fill", "mine", "--volume-id", volume)
    assert (code, document["ok"]) == (0, True)
    assert document["volumes"][0]["fill"]["reused_bytes"] == len(content(FILES[1]))


def test_a_dry_run_tells_all_and_rents_nothing(desk):
    volume = desk.volume()

    code, out, _ = desk.run("pod", "fill", "mine", "--volume-id", volume, "--dry-run")

    assert code == 0
    for told in ("fetch", "verify", "lease", "would send", "nothing was rented", volume):
        assert told in out
    assert TOKEN not in out
    assert not list(desk.manifests.glob("*.proof.json"))
    if desk.cloud is not None:
        assert not desk.cloud.all_pods
        assert re.search(r"cpu3c-2-4 at \$\d", out)


def test_several_volumes_are_filled_at_once_and_one_that_fails_stops_no_other(desk):
    first, second = desk.volume("one"), desk.volume("two")
    (desk.held(second) / "models").write_text("a file where a folder has to be")

    code, document = desk.json("pod", "fill", "mine", "--volume-id", first, "--volume-id", second)

    assert code == ExitCode.VOLUME, document
    good, bad = document["volumes"]
    assert (good["volume"]["id"], good["exit_code"], good["verify"]["ok"]) == (first, 0, True)
    assert (bad["volume"]["id"], bad["exit_code"]) == (second, ExitCode.VOLUME)
    assert all((desk.held(first) / "models" / path).exists() for path in FILES)


def test_several_pods_share_one_lock_and_bring_one_result(desk):
    volume = desk.volume()

    code, document = desk.json("pod", "fill", "mine", "--volume-id", volume, "--pods", "2")

    assert code == 0, document
    (told,) = document["volumes"]
    assert len(told["bill"]["pods"]) == 2
    assert {file["target"]: file["action"] for file in told["fill"]["files"]} == {
        f"models/{path}": "fetched" for path in FILES
    }
    assert told["verify"]["counts"]["ok"] == 2
    assert desk.proof(volume)["verify"]["ok"]


def test_where_volumes_differ_is_told(at_home):
    first, second = at_home.volume("one"), at_home.volume("two")
    for volume in (first, second):
        assert at_home.run("pod", "fill", "mine", "--volume-id", volume)[0] == 0
    (at_home.held(second) / "models" / SMALL).unlink()

    code, out, _ = at_home.run("pod", "verify", "mine", "--volume-id", first, "--volume-id", second)

    assert code == ExitCode.BYTES
    assert "the volumes differ in 1 file" in out
    assert f"models/{SMALL}: {first} ok, {second} missing" in out


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_from_the_pod_is_exit_6(at_home):
    volume = at_home.volume()
    at_home.monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")

    code, _, err = at_home.run("pod", "fill", "mine", "--volume-id", volume)

    assert code == ExitCode.UNAVAILABLE
    assert "error:" in err
    assert "127.0.0.1" in err


def test_no_token_is_anywhere_but_in_the_pods_environment(desk):
    volume = desk.volume()
    words = ("pod", "fill", "mine", "--volume-id", volume, "--secret", "OTHER=my_secret", "--env", "MINE=sesame-open")

    for more in ((), ("--dry-run",), ("--format", "json"), ("--format", "json", "--dry-run")):
        _, out, err = desk.run(*words, *more)
        assert TOKEN not in out + err
        assert "sesame-open" not in out + err
    _, out, err = desk.run("pod", "ls", "--format", "json")
    assert TOKEN not in out + err
    assert not [path for path in desk.manifests.iterdir() if TOKEN in path.read_text()]
    assert not [path for path in desk.held(volume).rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_a_pod_that_is_left_alone_is_attended_later(at_home):
    at_home.lock(MANIFEST.replace(f"{SMALL}, ", f"{SMALL}, {BIG}, "))
    volume = at_home.volume()

    code, document = at_home.json("pod", "fill", "mine", "--volume-id", volume, "--detach", "--max-rate", "20M")
    assert code == 0
    (pod,) = document["volumes"][0]["left"]
    (listed,) = at_home.json("pod", "ls")[1]["pods"]
    assert listed["id"] == pod

    code, out, err = at_home.run("pod", "attach", pod)

    assert code == 0, err
    assert "as promised" in out
    assert at_home.proof(volume)["verify"]["counts"]["ok"] == 3
    assert at_home.json("pod", "ls")[1]["pods"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--volume-id", "nowhere"), "there is no volume `nowhere`"),
        (("--cpu", "cpu9z-2-4"), "there is no CPU `cpu9z-2-4`"),
        (("--secret", "HF_TOKEN"), "--secret is NAME=SECRET"),
        (("--secret", "HF_TOKEN={{x}}"), "--secret is NAME=SECRET"),
        (("--env", "PROVISION_LEASE=x"), "no name of ours"),
        (("--env", "NOT_HERE"), "there is no such variable"),
        (("--package", "gone.whl"), "gone.whl cannot be read"),
        (("--report", "x.html", "--pods", "2"), "--report is about a whole volume"),
        (("--report", "x.odt"), "does not say which report"),
        (("--datacenter", "EU-XX-1"), "not in EU-XX-1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_before_anything_is_rented(at_home, words, said):
    volume = at_home.volume()
    named = words if "--volume-id" in words else ("--volume-id", volume, *words)

    code, _, err = at_home.run("pod", "fill", "mine", *named)

    assert code == ExitCode.INPUT
    assert said in err


def test_a_lock_is_needed_and_has_to_belong_to_its_manifest(at_home):
    volume = at_home.volume()
    (at_home.manifests / "mine.yaml").write_text(MANIFEST.replace("root: models", "root: elsewhere"))
    assert at_home.run("pod", "fill", "mine", "--volume-id", volume)[0] == ExitCode.LOCK
    (at_home.manifests / "mine.lock.json").unlink()
    assert at_home.run("pod", "fill", "mine", "--volume-id", volume)[0] == ExitCode.LOCK


def test_the_only_volume_need_not_be_named(at_home):
    assert at_home.run("pod", "fill", "mine", "--dry-run")[0] == ExitCode.INPUT
    volume = at_home.volume()
    assert volume in at_home.run("pod", "fill", "mine", "--dry-run")[1]
    other = at_home.volume("two")
    code, _, err = at_home.run("pod", "fill", "mine", "--dry-run")
    assert code == ExitCode.INPUT
    assert volume in err
    assert other in err


def test_a_volume_that_is_too_small_is_told_before_anything_is_rented(at_home):
    lock = at_home.manifests / "mine.lock.json"
    document = json.loads(lock.read_text())
    document["models"][0]["files"][0]["size"] = 11 * 10**9
    lock.write_text(json.dumps(document, sort_keys=True, indent=2) + "\n")

    code, _, err = at_home.run("pod", "fill", "mine", "--volume-id", at_home.volume())

    assert code == ExitCode.VOLUME
    assert "provision volume resize" in err


def test_a_report_comes_back_in_the_form_that_was_asked_for(at_home, tmp_path):
    volume = at_home.volume()

    code, out, _ = at_home.run("pod", "fill", "mine", "--volume-id", volume, "--report", str(tmp_path / "r.html"))

    assert code == 0
    assert "r.html" in out
    assert "<title>" in (tmp_path / "r.html").read_text()


def test_the_name_of_a_pod_at_runpod_says_whose_it_is(tmp_path, hub, monkeypatch, capsys):
    seat(tmp_path, hub, monkeypatch)
    desk = Desk(folder=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    desk.lock(MANIFEST)
    with RunPodCloud() as cloud:
        desk.cloud = cloud
        at_runpod(desk)
        volume = desk.volume()
        assert desk.run("pod", "fill", "mine", "--volume-id", volume, "--max-time", "2h", "-q")[0] == 0
        (pod,) = cloud.all_pods
        lease = lease_of(pod.order.name)
        assert (lease.project, lease.seconds) in {("mine", 7200), ("mine", 7199)}
        assert cloud.account.volumes[volume].datacenter == DATACENTER
