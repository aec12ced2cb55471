"""`verify --shard`: several machines verify one volume, each its share; together they have looked at everything."""

from __future__ import annotations

import json

import pytest
from composition_bed import index, tensors
from verification_bed import bed_of, flip, sizes

from provision.cli import run
from provision.errors import ExitCode
from provision.layout import Layout
from provision.lock import dumps
from provision.shard import Shard

FILES = sizes(0.05, 0.03, 0.03, 0.01, 0.001)


def shards(count):
    return [Shard(index=index, count=count) for index in range(1, count + 1)]


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.HF_CACHE])
@pytest.mark.parametrize("mode", ["full", "quick"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_file_is_looked_at_by_one_of_the_shards(tmp_path, layout, mode, count):
    bed = bed_of(tmp_path / "volume", FILES, layout)
    whole = bed.verify("full").findings

    shares = [bed.verify(mode, shard=shard) for shard in shards(count)]

    found = [finding.target for share in shares for finding in share.findings]
    assert sorted(found) == sorted(finding.target for finding in whole)
    assert all(share.ok for share in shares)  # also one without a file, where there are more shards than files


@pytest.mark.parametrize("count", [2, 7])
def test_a_fault_is_found_by_the_shard_that_has_the_file_and_by_no_other(tmp_path, count):
    bed = bed_of(tmp_path / "volume", FILES)
    flip(bed.at("models/1.bin"))

    bad = [share for shard in shards(count) if not (share := bed.verify(shard=shard)).ok]

    assert [[f.target for f in share.findings if f.state != "ok"] for share in bad] == [["models/1.bin"]]


def test_a_wrong_ref_of_a_hub_cache_is_found_by_one_shard(tmp_path):
    bed = bed_of(tmp_path / "volume", FILES, Layout.HF_CACHE)
    bed.at("models/models--acme--weights/refs/main").write_text("b" * 40)

    found = [f for shard in shards(3) for f in bed.verify(shard=shard).findings if f.state != "ok"]

    assert [finding.target for finding in found] == ["models/models--acme--weights/refs/main"]


def test_a_model_in_several_shards_is_not_judged_by_any_and_each_says_so(tmp_path, capsys):
    missing = {"model.safetensors.index.json": index(a="1.safetensors", b="2.safetensors")}
    bed = bed_of(tmp_path / "volume", {**missing, "1.safetensors": tensors(a=4)})
    (tmp_path / "p.lock.json").write_text(dumps(bed.locks[0]))

    whole, shares = bed.verify(), [bed.verify(shard=shard) for shard in shards(3)]
    assert not whole.ok
    assert [misfit.misfit.rule for misfit in whole.misfits if misfit.misfit.grave] == ["shard-missing"]
    assert [note.kind for note in whole.notes] == []
    assert [[note.kind for note in share.notes] for share in shares] == [["fit"], ["fit"], []]
    assert all(share.ok and not share.misfits for share in shares)
    assert bed.verify(shard=Shard(index=1, count=1)).misfits == whole.misfits
    assert not bed.verify("quick", shard=shards(3)[0]).notes

    asked = ["verify", "p", "--manifests", str(tmp_path), "--volume", str(bed.root), "--shard", "1/3", "-q"]
    assert run(asked) == ExitCode.DONE
    told = "1 model is in several shards, and not asked whether the files fit together: a run without --shard asks"
    assert told in " ".join(capsys.readouterr().out.split())
    assert run([*asked, "--format", "json"]) == ExitCode.DONE
    assert {"kind": "fit", "text": told} in json.loads(capsys.readouterr().out)["notes"]


def test_the_reports_are_about_the_share_alone(tmp_path, capsys):
    bed = bed_of(tmp_path / "volume", FILES)
    (tmp_path / "p.lock.json").write_text(dumps(bed.locks[0]))
    asked = ["verify", "p", "--manifests", str(tmp_path), "--volume", str(bed.root), "--shard", "2/2", "-q"]

    assert run(asked) == ExitCode.DONE
    text = capsys.readouterr().out
    assert run([*asked, "--format", "json"]) == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)

    told = {file["target"] for file in document["files"]}
    assert document["shard"] == "2/2"
    assert 0 < len(told) < len(FILES)
    assert "share 2/2 of the files, full verification" in text
    assert "not looked at" not in text


def test_what_looks_at_the_whole_volume_has_no_shard(tmp_path, capsys):
    bed = bed_of(tmp_path / "volume", FILES)

    assert run(["verify", "--volume", str(bed.root), "--shard", "1/2", "--strict"]) == ExitCode.INPUT
    assert "run --strict without --shard" in capsys.readouterr().err
