"""Mirrors from manifest to lock, against real hubs on loopback: what is pinned, what is matched, what is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import hub_folder
import pytest
from hub_folder import LARGE, SMALL
from hub_kinds import HUGGINGFACE, KINDS, MODELSCOPE, Kind, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, rewrites

from provision.crew import Stop
from provision.difference import difference
from provision.errors import ExitCode, HostileListing, HubUnavailable, ManifestError, RepositoryNotFound
from provision.freshness import answers as belongs
from provision.hubs.http import Http
from provision.hubs.schemes import open_hub
from provision.hubs.supply import Supply
from provision.lock import Lock, Mirror, dumps, loads
from provision.manifest import parse
from provision.report.differences import difference_lines
from provision.report.document import difference_document
from provision.resolution import Request, resolve
from provision.retry import Patience, Retry
from provision.serve import Folder

MIRROR = "other/twin"
BY_SCHEME = {kind.scheme: kind for kind in KINDS}


@dataclass
class Bed:
    """A source on Hugging Face, its mirror on `kind`, both on one server; `told` is what a person is told."""

    hub: MisbehavingHub
    root: Path
    kind: Kind
    told: list[str] = field(default_factory=list)

    @property
    def source(self) -> Path:
        return self.root / "hf" / hub_folder.NAME

    @property
    def mirror(self) -> Path:
        return self.root / self.kind.scheme / MIRROR

    def manifest(self, *mirrors: str, body: str = ""):
        """A manifest whose first mirror is on line 5; `twin` stands for the mirror's name."""
        lines = "".join(f"      - {m.replace('twin', f'{self.kind.scheme}://{MIRROR}')}\n" for m in mirrors)
        listed = f"    mirrors:\n{lines}" if mirrors else ""
        text = f"project: p\nmodels:\n  - source: hf://{hub_folder.NAME}\n{listed}{body}"
        return parse(text, file="p.yaml")

    def lock(self, manifest, known: Lock | None = None, **changes) -> Lock:
        """What `manifest` resolves to; the log then holds these requests only."""
        self.hub.log.clear()
        self.told.clear()
        retry = Retry(patience=Patience(attempts=2, first_wait=0.01, longest_wait=0.01), sleep=lambda _: None)
        supply = Supply(cache(self._open), Http(http_settings()), retry)
        lock = resolve(Request(manifest=manifest, known=known, **changes), supply, Stop(), self.told.append)
        assert loads(dumps(lock), file="x") == lock
        return lock

    def faults(self, *mirrors: str, body: str = "") -> list[str]:
        with pytest.raises(ManifestError) as caught:
            self.lock(self.manifest(*mirrors, body=body))
        return [str(issue) for issue in caught.value.issues]

    def _open(self, scheme: str):
        return reach(BY_SCHEME[scheme], self.hub.endpoint) if scheme in BY_SCHEME else open_hub(scheme, None)


@pytest.fixture(params=KINDS, ids=str)
def bed(request: pytest.FixtureRequest, tmp_path: Path):
    hub_folder.build(tmp_path / "hub", "hf")
    bed = Bed(hub=None, root=tmp_path / "hub", kind=request.param)
    shutil.copytree(bed.source, bed.mirror)
    with MisbehavingHub(Folder(bed.root)) as bed.hub:
        yield bed


def test_a_mirror_is_pinned_as_its_source_is(bed):
    model = bed.lock(bed.manifest("twin")).models[0]

    (mirror,) = model.mirrors
    assert mirror.source == f"{bed.kind.scheme}://{MIRROR}"
    assert mirror.revision == bed.kind.branch
    assert re.fullmatch(r"[0-9a-f]{40}", mirror.commit or "")
    assert mirror.paths == ()
    assert bed.told == [f"asking hf://{hub_folder.NAME}", f"asking {mirror.source}"]


def test_a_mirror_may_be_named_at_a_revision(bed):
    plain = bed.lock(bed.manifest("twin")).models[0].mirrors[0]

    named = bed.lock(bed.manifest(f"twin@{plain.commit}")).models[0].mirrors[0]

    assert (named.revision, named.commit) == (plain.commit, plain.commit)


def test_mirrors_keep_the_order_of_preference(bed):
    mirrors = bed.lock(bed.manifest("https://b.example/x", "twin", "https://a.example:8443")).models[0].mirrors

    assert [mirror.hub for mirror in mirrors] == ["https", bed.kind.scheme, "https"]


def test_an_https_mirror_is_locked_without_a_question(bed):
    lock = bed.lock(bed.manifest("https://nobody.invalid/weights"))

    assert lock.models[0].mirrors == (Mirror(source="https://nobody.invalid/weights", revision="", commit=None),)


def test_a_lock_promises_the_same_with_mirrors_and_without(bed):
    without, mirrored = bed.lock(bed.manifest()), bed.lock(bed.manifest("twin"))

    assert mirrored.models[0].files == without.models[0].files
    assert '"mirrors"' not in dumps(without)


def test_the_same_inputs_give_the_same_lock_byte_for_byte(bed):
    shutil.move(bed.mirror / LARGE, bed.mirror / "b.safetensors")
    shutil.copy(bed.mirror / "b.safetensors", bed.mirror / "a.safetensors")
    manifest = bed.manifest("twin")

    first = bed.lock(manifest)

    assert dumps(first) == dumps(bed.lock(manifest))
    assert first.models[0].mirrors[0].paths == ((LARGE, "a.safetensors"),)


def test_a_file_under_another_path_is_found_by_its_sha256(bed):
    (bed.mirror / "weights").mkdir()
    shutil.move(bed.mirror / LARGE, bed.mirror / "weights/unet.safetensors")

    (mirror,) = bed.lock(bed.manifest("twin")).models[0].mirrors

    assert mirror.paths == ((LARGE, "weights/unet.safetensors"),)
    assert mirror.path_of(LARGE) == "weights/unet.safetensors"
    assert mirror.path_of(SMALL) == SMALL


def test_a_file_that_stands_elsewhere_may_have_another_in_its_place(bed):
    shutil.move(bed.mirror / LARGE, bed.mirror / "whole.safetensors")
    hub_folder.weights(bed.mirror / LARGE, {"up": 3_000_000, "down": 2_999_999})

    assert bed.lock(bed.manifest("twin")).models[0].mirrors[0].paths == ((LARGE, "whole.safetensors"),)


def test_a_mirror_with_other_bytes_under_a_locked_path_is_refused_at_its_line(bed):
    whole = (bed.mirror / LARGE).read_bytes()
    (bed.mirror / LARGE).write_bytes(whole[:-1] + b"\0")
    ours = next(f for _, f in bed.lock(bed.manifest()).files() if f.path == LARGE)

    (fault,) = bed.faults("https://first.example", "twin")

    assert fault.startswith(f"p.yaml:6:9: the mirror {bed.kind.scheme}://{MIRROR} has another {LARGE}: sha256 ")
    assert f"the source has sha256 {ours.sha256} (models[0].mirrors[1]); drop the mirror" in fault


def test_only_what_is_wanted_has_to_be_the_same(bed):
    (bed.mirror / "README.md").write_text("# Twin\n")

    assert len(bed.faults("twin")) == 1
    assert bed.lock(bed.manifest("twin", body="    exclude: [README.md]\n")).models[0].mirrors


def test_of_many_other_files_a_few_are_named(bed):
    for path in hub_folder.tree(bed.mirror):
        (bed.mirror / path).write_bytes(b"another" * 9)

    faults = bed.faults("twin")

    assert len(faults) == 6
    assert "4 more files that are others" in faults[-1]


def test_a_mirror_that_has_none_of_the_files_is_refused(bed):
    shutil.rmtree(bed.mirror)
    bed.mirror.mkdir()
    (bed.mirror / "elsewhere.bin").write_bytes(b"x" * 99)

    (fault,) = bed.faults("twin")

    assert fault.startswith(f"p.yaml:5:9: the mirror {bed.kind.scheme}://{MIRROR} has none of the 9 files")


def test_a_mirror_that_lacks_some_files_is_one_all_the_same(bed):
    (bed.mirror / LARGE).unlink()

    lock = bed.lock(bed.manifest("twin"))

    assert [mirror.paths for mirror in lock.models[0].mirrors] == [()]
    said = f"tiny-diffusion: the mirror {bed.kind.scheme}://{MIRROR} lacks 1 of 9 files: {LARGE}"
    assert said in bed.told


def test_all_faults_of_mirrors_are_told_at_once(bed):
    (bed.mirror / "README.md").write_text("# Twin\n")
    (bed.root / "hf/other/nothing").mkdir(parents=True)
    (bed.root / "hf/other/nothing/elsewhere.bin").write_bytes(b"x" * 99)
    body = f"  - name: again\n    source: hf://{hub_folder.NAME}\n    target: b\n    mirrors: [hf://other/nothing]\n"

    faults = bed.faults("twin", body=body)

    assert [fault.partition(" ")[0] for fault in faults] == ["p.yaml:5:9:", "p.yaml:9:15:"]


def test_a_small_file_whose_sha256_the_hub_does_not_tell_is_compared_by_size(tmp_path):
    hub_folder.build(tmp_path / "hub", "hf")
    bed = Bed(hub=None, root=tmp_path / "hub", kind=HUGGINGFACE)
    shutil.copytree(bed.source, bed.mirror)
    text = (bed.mirror / SMALL).read_text()
    with MisbehavingHub(Folder(bed.root)) as bed.hub:
        (bed.mirror / SMALL).write_text(text.upper())
        assert bed.lock(bed.manifest("twin")).models[0].mirrors[0].paths == ()

        (bed.mirror / SMALL).write_text(text + " ")
        (fault,) = bed.faults("twin")
        assert f"has another {SMALL}: {len(text) + 1} bytes, the source has {len(text)}" in fault


def test_an_unavailable_mirror_leaves_no_lock(bed):
    bed.hub.rules.append(Rule(MIRROR, answers(503)))

    with pytest.raises(HubUnavailable) as caught:
        bed.lock(bed.manifest("twin"))

    assert caught.value.exit_code is ExitCode.UNAVAILABLE


def test_mirrors_that_are_not_there_are_told_all_at_once_with_file_and_line(bed):
    manifest = bed.manifest("hf://other/nothing", "twin", "modelscope://other/nothing")

    with pytest.raises(RepositoryNotFound) as caught:
        bed.lock(manifest)

    assert [line.partition(" ")[0] for line in caught.value.message.splitlines()] == ["p.yaml:5:9:", "p.yaml:7:9:"]


def test_a_hostile_listing_of_a_mirror_is_refused_whole(bed):
    entries = bed.kind.listed([bed.kind.entry("../../etc/passwd")])
    bed.hub.rules.append(Rule(f"{MIRROR}.*{bed.kind.listing}", rewrites(lambda _: entries)))

    with pytest.raises(HostileListing) as caught:
        bed.lock(bed.manifest("twin"))

    assert caught.value.message.startswith("p.yaml:5:9: other/twin: the hub's listing is refused")


def test_one_repository_at_one_revision_is_resolved_and_listed_once(bed):
    body = "".join(
        f"  - name: m{n}\n    source: hf://{hub_folder.NAME}\n    target: t{n}\n"
        f"    mirrors: [{bed.kind.scheme}://{MIRROR}]\n"
        for n in range(3)
    )
    bed.lock(bed.manifest("twin"))
    once = len(bed.hub.asked(MIRROR))

    lock = bed.lock(bed.manifest("twin", body=body))

    assert len(bed.hub.asked(MIRROR)) == once
    assert len({mirror for model in lock.models for mirror in model.mirrors}) == 1


def moved(bed: Bed) -> Lock:
    """The lock of one mirror, whose repository has moved on since."""
    known = bed.lock(bed.manifest("twin"))
    (bed.mirror / "NEWS.md").write_text("# News\n")
    return known


def test_an_unchanged_entry_asks_its_mirrors_nothing(bed):
    known = moved(bed)

    assert bed.lock(bed.manifest("twin"), known) == known
    assert bed.hub.log == []


def test_an_upgrade_moves_the_pin_of_a_mirror_and_shows_it(bed):
    known = moved(bed)

    lock = bed.lock(bed.manifest("twin"), known, upgrade=lambda _: True)

    (before,), (after,) = known.models[0].mirrors, lock.models[0].mirrors
    assert before.commit != after.commit
    change = difference(known, lock)
    assert not change.is_empty
    assert (change.pins, change.files) == ((), ())
    assert difference_lines("p", change, lock.size)[1] == (
        f"  tiny-diffusion: mirrors {after.source} at {str(after.commit)[:12]}"
        f" (were {before.source} at {str(before.commit)[:12]})"
    )
    assert difference_document("p", change, stale=True)["mirrors"] == [
        {
            "model": "tiny-diffusion",
            "before": [{"source": before.source, "pin": before.commit}],
            "after": [{"source": after.source, "pin": after.commit}],
        }
    ]


def test_a_changed_entry_keeps_the_pin_of_its_mirror(bed):
    known = bed.lock(bed.manifest("twin", body="    files: [README.md]\n"))
    assert [r for r in bed.hub.asked(bed.kind.first) if MIRROR in r.target]

    lock = bed.lock(bed.manifest("twin", body=f"    files: [README.md, {SMALL}]\n"), known)

    assert lock.models[0].mirrors == known.models[0].mirrors
    assert [r for r in bed.hub.asked(bed.kind.listing) if MIRROR in r.target]
    assert not [r for r in bed.hub.asked(bed.kind.first) if MIRROR in r.target]


def test_a_mirror_that_is_added_leaves_the_pin_of_its_source_where_it_is(bed):
    known = bed.lock(bed.manifest())

    lock = bed.lock(bed.manifest("twin"), known)

    assert (lock.models[0].commit, lock.models[0].files) == (known.models[0].commit, known.models[0].files)
    assert difference(known, lock).pins == ()
    assert [change.before for change in difference(known, lock).mirrors] == [()]
    assert difference_lines("p", difference(lock, known), known.size)[1] == "  tiny-diffusion: no mirrors any more"


def test_another_order_of_mirrors_is_a_difference(bed):
    known = bed.lock(bed.manifest("https://a.example", "https://b.example"))

    lock = bed.lock(bed.manifest("https://b.example", "https://a.example"), known)

    assert difference_lines("p", difference(known, lock), lock.size)[1] == (
        "  tiny-diffusion: mirrors https://b.example, https://a.example (were https://a.example, https://b.example)"
    )


def test_a_lock_from_before_mirrors_still_belongs_and_the_next_resolution_adds_them(bed):
    manifest = bed.manifest("twin")
    whole = bed.lock(manifest)
    document = json.loads(dumps(whole))
    del document["models"][0]["mirrors"]
    old = loads(json.dumps(document), file="x")

    assert belongs(manifest, old)
    assert bed.lock(manifest, old) == whole


@pytest.mark.parametrize("scheme", ["hf", "modelscope"])
def test_a_source_of_either_hub_may_have_a_mirror_on_the_other(tmp_path, scheme):
    other = {"hf": MODELSCOPE, "modelscope": HUGGINGFACE}[scheme]
    place = hub_folder.build(tmp_path / "hub", scheme)
    bed = Bed(hub=None, root=tmp_path / "hub", kind=other)
    shutil.copytree(place, bed.mirror)
    with MisbehavingHub(Folder(bed.root)) as bed.hub:
        text = (
            f"project: p\nmodels:\n  - source: {scheme}://{hub_folder.NAME}\n    mirrors: [{other.scheme}://{MIRROR}]\n"
        )
        lock = bed.lock(parse(text, file="p.yaml"))

    assert [mirror.hub for mirror in lock.models[0].mirrors] == [other.scheme]
