"""Pipelines of diffusers: what each component needs to be loaded."""

from __future__ import annotations

import pytest
from composition_bed import SMALL, found, index, rules, text, without

PIPELINE = {
    "model_index.json": text(
        _class_name="StableDiffusionPipeline",
        _diffusers_version="0.42.0",
        feature_extractor=["transformers", "CLIPImageProcessor"],
        image_encoder=[None, None],
        requires_safety_checker=True,
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        scheduler=["diffusers", "PNDMScheduler"],
        text_encoder=["transformers", "CLIPTextModel"],
        tokenizer=["transformers", "CLIPTokenizer"],
        unet=["diffusers", "UNet2DConditionModel"],
        vae=["diffusers", "AutoencoderKL"],
    ),
    "feature_extractor/preprocessor_config.json": text(do_resize=True),
    "safety_checker/config.json": text(model_type="clip"),
    "safety_checker/model.safetensors": SMALL,
    "scheduler/scheduler_config.json": text(_class_name="PNDMScheduler"),
    "text_encoder/config.json": text(model_type="clip_text_model"),
    "text_encoder/model.safetensors": SMALL,
    "tokenizer/merges.txt": b"#version: 0.2\n",
    "tokenizer/tokenizer_config.json": text(tokenizer_class="CLIPTokenizer"),
    "tokenizer/vocab.json": text(a=0),
    "unet/config.json": text(_class_name="UNet2DConditionModel"),
    "unet/diffusion_pytorch_model.safetensors": SMALL,
    "vae/config.json": text(_class_name="AutoencoderKL"),
    "vae/diffusion_pytorch_model.safetensors": SMALL,
}


UNET = "unet/diffusion_pytorch_model.safetensors"


def only(folder: str, **changed: bytes) -> dict[str, bytes]:
    """The pipeline without the folder, but for what is given."""
    kept = {path: data for path, data in PIPELINE.items() if not path.startswith(f"{folder}/")}
    return kept | {f"{folder}/{name}": data for name, data in changed.items()}


def test_a_whole_pipeline_fits():
    assert rules(PIPELINE) == []


@pytest.mark.parametrize("folder", ["scheduler", "text_encoder", "unet", "vae"])
def test_a_component_without_its_folder_is_grave(folder):
    (misfit,) = found(only(folder))

    assert (misfit.rule, misfit.path, misfit.grave) == ("component-missing", "model_index.json", True)
    assert f"`{folder}`" in misfit.detail


@pytest.mark.parametrize("folder", ["feature_extractor", "safety_checker", "image_encoder"])
def test_a_component_that_pipelines_can_do_without_is_told(folder):
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], folder: ["transformers", "CLIPModel"]}
    files = {path: PIPELINE[path] for path in PIPELINE if path.startswith("unet/")}
    files |= {"model_index.json": text(**parts)}

    assert rules(files) == ["component-missing"]
    assert rules(files | {f"{folder}/notes.json": b"{}"}) == ["component-config", "component-weights"]


def test_a_tokenizer_without_its_folder_is_grave():
    assert rules(only("tokenizer")) == ["component-missing!"]


@pytest.mark.parametrize(
    "path",
    [
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "unet/config.json",
    ],
)
def test_a_component_without_the_configuration_of_its_class_is_grave(path):
    folder = path.rpartition("/")[0]
    files = without(PIPELINE, path) | {f"{folder}/notes.json": b"{}"}

    (misfit,) = found(files)

    assert (misfit.rule, misfit.grave, misfit.lacking[0]) == ("component-config", True, path)


@pytest.mark.parametrize("path", ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
def test_a_model_without_weights_among_others_is_grave(path):
    assert rules(without(PIPELINE, path)) == ["component-weights!"]


def test_a_sharded_component_fits_and_a_missing_shard_is_told_once():
    shards = {name: f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n, name in ((1, "w"), (2, "v"))}
    unet = {"config.json": b"{}", "diffusion_pytorch_model.safetensors.index.json": index(None, **shards)}
    files = only("unet", **unet) | {f"unet/{shards['w']}": SMALL}

    assert rules(files) == ["shard-missing!"]


def test_configuration_alone_is_what_somebody_asked_for():
    assert rules({path: data for path, data in PIPELINE.items() if path.endswith((".json", ".txt"))}) == [
        "component-weights"
    ] * 4 + ["weights-missing"]


def test_one_file_and_configurations_are_what_somebody_asked_for():
    """As `from_single_file` with `config` takes them."""
    files = {path: data for path, data in PIPELINE.items() if path.endswith((".json", ".txt"))}

    assert rules(files | {"sd_xl_base_1.0.safetensors": SMALL}) == ["component-weights"] * 4
    assert "component-weights!" in rules(files | {"unet/diffusion_pytorch_model.safetensors": SMALL})


def test_each_pipeline_is_judged_by_the_weights_of_its_own_components():
    papers = {f"other/{path}": data for path, data in PIPELINE.items() if path.endswith((".json", ".txt"))}

    assert rules(PIPELINE | papers) == ["component-weights"] * 4


@pytest.mark.parametrize("document", [b"", b"[]"])
def test_an_index_of_configurations_alone_that_says_nothing_is_told(document):
    papers = {path: data for path, data in PIPELINE.items() if path.endswith((".json", ".txt"))}

    assert "unreadable-config" in rules(papers | {"model_index.json": document, "one.safetensors": SMALL})


@pytest.mark.parametrize("name", ["model.neuron", "model.rknn", "model.tar.gz"])
def test_weights_of_a_format_that_is_not_known_may_be_weights(name):
    assert rules(without(PIPELINE, UNET) | {f"unet/{name}": b"x"}) == ["component-weights"]


@pytest.mark.parametrize("name", ["x.mlmodelc/weights/weight.bin", "a/b/c/model.safetensors"])
def test_weights_at_any_depth_of_a_component_are_weights(name):
    assert rules(without(PIPELINE, UNET) | {f"unet/{name}": SMALL}) == []


def test_a_component_that_is_loaded_from_the_pipelines_own_folder_fits():
    flat = without(PIPELINE, "scheduler/scheduler_config.json") | {"scheduler_config.json": b"{}"}

    assert rules(flat) == []


def test_a_pipeline_below_another_folder_is_checked_there():
    below = {f"base/{path}": data for path, data in PIPELINE.items()}

    assert rules(below) == []
    assert rules(without(below, "base/vae/diffusion_pytorch_model.safetensors")) == ["component-weights!"]


def variant_in(*folders: str, tag: str = "fp16", plain: bool = False) -> dict[str, bytes]:
    """The pipeline with weights of a variant in these folders, beside the plain ones or instead."""
    files = {}
    for path, data in PIPELINE.items():
        varies = path.startswith(tuple(f"{folder}/" for folder in folders)) and path.endswith(".safetensors")
        if not varies or plain:
            files[path] = data
        if varies:
            files[path.replace(".safetensors", f".{tag}.safetensors")] = data
    return files


MODELS = ("safety_checker", "text_encoder", "unet", "vae")


@pytest.mark.parametrize("plain", [True, False], ids=["beside", "instead"])
def test_a_variant_of_every_component_fits(plain):
    assert rules(variant_in(*MODELS, plain=plain)) == []


def test_a_variant_of_some_components_beside_the_plain_ones_fits():
    assert rules(variant_in("unet", plain=True)) == []


def test_a_variant_here_and_plain_weights_there_fit_since_one_choice_loads_both():
    assert rules(variant_in("unet", tag="non_ema")) == []


def test_a_variant_of_a_component_that_pipelines_can_do_without_binds_nothing():
    checker = {p: data for p, data in variant_in("safety_checker").items() if p.startswith("safety_checker/")}
    unet = {p: data for p, data in variant_in("unet", tag="bf16").items() if not p.startswith("safety_checker/")}

    assert rules(unet | checker) == []


def test_variants_that_no_one_choice_can_load_are_grave():
    other = {path: data for path, data in variant_in("vae", tag="bf16").items() if path.startswith("vae/")}
    unet = {path: data for path, data in variant_in("unet").items() if not path.startswith("vae/")}

    (misfit,) = found(unet | other)

    assert (misfit.rule, misfit.grave) == ("variant-mixed", True)
    assert set(misfit.lacking) == {"unet/*.safetensors", "unet/*.bin", "vae/*.safetensors", "vae/*.bin"}


@pytest.mark.parametrize("document", [b"", b"[]", b"\xff", b'{"a":' * 50_000, b"null"])
def test_an_index_of_a_pipeline_that_is_no_object_is_one_grave_misfit(document):
    assert rules(PIPELINE | {"model_index.json": document}) == ["unreadable-config!"]


@pytest.mark.parametrize(
    "value", [["diffusers"], ["diffusers", 1], ["a", "b", "c"], {"a": "b"}, "unet", 7, [None, None], [], [["a"], "b"]]
)
def test_what_is_no_pair_of_names_is_no_component(value):
    assert rules(PIPELINE | {"model_index.json": text(unet=value, extra=value)}) == []


@pytest.mark.parametrize("name", ["../../etc", "/etc", "a/b", "", "a" * 500, "\u202eunet"])
def test_a_component_whose_name_makes_no_folder_is_passed_over(name):
    assert rules(PIPELINE | {"model_index.json": text(**{name: ["diffusers", "UNet2DConditionModel"]})}) == []


def test_a_class_that_is_not_known_is_only_asked_to_be_there():
    values = text(watermarker=["deepfloyd_if", "IFWatermarker"], unet=["diffusers", "FlaxUNet2DConditionModel"])
    files = {"model_index.json": values, "unet/diffusion_flax_model.msgpack": b"x", "watermarker/any": b"x"}

    assert rules(files) == []
