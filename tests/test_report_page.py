"""The page as it is written: every file on it, no name can break it, nothing is asked of the network."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_material import HOSTILE, MADE_AT, WHERE, all_well, everything, locks, lost

from provision.lock import Lock, LockedModel
from provision.report.page import page
from provision.report.page.treemap import Box, squarified
from provision.verification.findings import ModelMisfit, Note, State, Verification

NAMES = st.text(st.sampled_from("<>&\"'/=`$\\{}- \n") | st.characters(), min_size=1)


class Parsed(HTMLParser):
    """What a browser makes of the page, but for drawing it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inline = {"script": "", "style": ""}
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside += [tag] if tag not in {"meta", "link", "input"} else []

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._inside.pop() == tag

    def handle_data(self, data):
        if self._inside and self._inside[-1] in self.inline:
            self.inline[self._inside[-1]] += data
        else:
            self.text.append(data)

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def classed(self, name: str) -> list[dict[str, str | None]]:
        return [about for _, about in self.elements if name in (about.get("class") or "").split()]


def shown(verification: Verification, locked: tuple[Lock, ...] = locks()) -> Parsed:
    return Parsed(page(verification, locked, MADE_AT, WHERE))


def skeleton(parsed: Parsed) -> set[tuple[str, tuple[str, ...]]]:
    return {(tag, tuple(sorted(about))) for tag, about in parsed.elements}


def test_the_same_verification_makes_the_same_page():
    assert page(everything(), locks(), MADE_AT) == page(everything(), locks(), MADE_AT)


def test_the_verdict_the_volume_and_the_time_stand_at_the_head():
    text = "".join(shown(everything()).text)

    assert "6 of 9 files are not as promised" in text
    assert "/runpod-volume: full verification: not every byte was read, see below" in text
    assert "2026-08-30 12:34 UTC" in text


def test_every_file_that_was_promised_or_found_has_one_row():
    parsed = shown(everything())
    promised = [file.target for lock in locks() for _, file in lock.files()]

    rows = [about for about in parsed.having("tr") if "data-state" in about]

    assert len(rows) == len(promised) + 1 == 10  # and the file that nobody promised
    assert {about["data-state"] for about in rows} == {*State, "unread"}
    assert all(parsed.text.count(target) >= 1 for target in promised)


def test_every_file_is_on_both_maps():
    parsed = shown(everything())
    rows = {about["id"] for about in parsed.having("tr") if "data-state" in about}

    tiles = [about["data-row"] for about in parsed.classed("tile")]

    assert sorted(tiles) == sorted([*rows, *rows])


def test_what_is_wrong_comes_with_what_to_run_and_where_the_damage_is():
    text = "".join(shown(everything()).text)

    assert "provision fill wan22-i2v --volume /runpod-volume" in text
    assert "bytes 1073741824-1090519039, 14280000000-14294967295 of 14294967296 are damaged" in text
    assert "names `model-00002.safetensors`, which is not there" in text
    assert "this volume was filled from another lock of wan22-i2v: vae differs" in text


def test_only_what_can_be_run_is_set_as_code():
    html = page(everything(), locks(), MADE_AT, WHERE)

    full = "<code>provision verify --full images --volume /runpod-volume</code>"
    assert f"To do: look at the volume, then {full}" in html
    assert "To do: remove it, or add it to a manifest</p>" in html
    assert not re.search("<code>(look|move|remove|compare|in a pod)", html)


def test_a_model_is_told_with_source_commit_licence_parameters_and_dtypes():
    text = "|".join(shown(everything()).text)

    for fact in ("hf://Comfy-Org/Wan_2.2_ComfyUI_Repackaged", "012345678901", "apache-2.0", "28.6 B", "F8_E4M3 97.8 %"):
        assert fact in text


def test_a_search_looks_into_what_is_shown_of_a_model_and_not_into_its_markup():
    words = [about["data-words"] for about in shown(everything()).classed("model") if about["data-words"]]

    assert not any(markup in told for told in words for markup in ("noopener", "title=", "</", "&lt;"))
    for fact in ("wan22-i2v", "hf://comfy-org/wan_2.2_comfyui_repackaged", "main at 012345678901", "apache-2.0", "f16"):
        assert any(fact in told for told in words)
    assert any('other <img src=x onerror="alert(2)">' in told for told in words)


def test_a_good_volume_has_no_section_of_what_is_wrong():
    assert "findings" not in {about.get("id") for _, about in shown(all_well(), ()).elements}


@pytest.mark.parametrize("locked", [(), locks()], ids=["without locks", "with locks"])
@pytest.mark.parametrize("findings", [(), everything().findings], ids=["no findings", "findings"])
def test_a_page_can_be_made_of_little(locked, findings):
    parsed = shown(replace(everything(), findings=findings), locked)

    assert len([about for about in parsed.having("tr") if "data-state" in about]) == max(
        len(findings), 9 * bool(locked) + bool(findings and locked)
    )


def test_empty_files_are_drawn_too():
    parsed = shown(
        Verification(volume="v", mode=all_well().mode, findings=tuple(replace(f, size=0) for f in lost(3).findings)), ()
    )

    assert len(parsed.classed("tile")) == 6
    assert not any("nan" in str(about) or "inf" in str(about) for about in parsed.having("rect"))


def test_names_stand_as_text_and_make_no_element():
    parsed = shown(everything())

    assert HOSTILE in parsed.text
    assert 'other <img src=x onerror="alert(2)">' in parsed.text
    assert len(parsed.having("script")) == 1
    assert parsed.having("img") == []
    assert not any(key.startswith("on") or key == "style" for _, about in parsed.elements for key in about)


def renamed(name: str) -> tuple[Verification, tuple[Lock, ...]]:
    """A verification and a lock in which whatever can be named is called `name`."""
    finding, misfit = everything().findings[0], everything().misfits[0].misfit
    lock = locks()[0]
    model: LockedModel = replace(
        lock.models[0], name=name, source=f"hf://{name}", revision=name, license=name, layout=name,
        files=(replace(lock.models[0].files[0], target=name),),
    )  # fmt: skip
    verification = replace(
        everything(),
        volume=name,
        findings=(replace(finding, project=name, model=name, target=name, detail=name),),
        misfits=(ModelMisfit(project=name, model=name, misfit=replace(misfit, path=name, detail=name)),),
        notes=(Note(kind=name, text=name),),
    )
    return verification, (replace(lock, project=name, models=(model,)),)


@settings(deadline=None)
@given(NAMES)
def test_no_name_changes_what_the_page_is_made_of(name: str):
    assert skeleton(shown(*renamed(name))) <= skeleton(shown(*renamed("name" * 10)))


def test_nothing_is_asked_of_the_network():
    parsed = shown(everything())

    links = [about["href"] for about in parsed.having("a") if not about["href"].startswith("#")]
    assert {re.match(r"https://[a-z.]+/", link)[0] for link in links} == {
        "https://huggingface.co/",
        "https://modelscope.cn/",
    }
    assert not any("src" in about for _, about in parsed.elements)
    assert [about["href"] for about in parsed.having("link")] == ["data:,"]
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttp", parsed.inline["style"] + parsed.inline["script"])


def test_the_policy_names_the_one_style_and_the_one_script_and_forbids_all_else():
    parsed = shown(everything())
    (policy,) = (about["content"] for about in parsed.having("meta") if about.get("http-equiv"))

    hashes = {
        kind: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for kind, text in parsed.inline.items()
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_ten_thousand_files_are_drawn_as_some_hundreds_and_all_told():
    findings = tuple(replace(f, model=f"m{n % 100}", size=n * n) for n, f in enumerate(lost(10_000).findings))
    html = page(replace(lost(1), findings=findings), (), MADE_AT)
    parsed = Parsed(html)

    assert len(parsed.classed("tile")) < 2_000
    assert len([about for about in parsed.having("tr") if "data-state" in about]) == 10_000
    assert len(html) < 6_000_000


def test_the_templates_go_with_the_package():
    assert {"page.html", "page.css", "page.js"} <= {part.name for part in files("provision.report.page").iterdir()}


WEIGHTS = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=60).map(lambda found: sorted(found, reverse=True))


@given(WEIGHTS, st.floats(10, 2000), st.floats(10, 2000))
def test_areas_are_as_weights_and_fill_the_box(weights: list[float], width: float, height: float):
    boxes = squarified(weights, Box(0, 0, width, height))

    scale = width * height / sum(weights)
    for weight, box in zip(weights, boxes, strict=True):
        assert box.width * box.height == pytest.approx(weight * scale, rel=1e-6, abs=1e-6)
        assert box.x >= -1e-6
        assert box.x + box.width <= width * (1 + 1e-6)
        assert box.y + box.height <= height * (1 + 1e-6)


@given(WEIGHTS)
def test_boxes_do_not_overlap(weights: list[float]):
    boxes = squarified(weights, Box(0, 0, 1000, 500))

    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(across, down) <= 1e-6


def test_equal_weights_make_nearly_square_boxes():
    assert all(0.5 <= box.width / box.height <= 2 for box in squarified([1.0] * 12, Box(0, 0, 400, 300)))
