"""No false alarms: repositories as they are on their hubs, and what people choose of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest
from composition_bed import found, gguf, onnx, tensors, text
from hub_listings import LISTINGS

from provision.composition import Rule
from provision.manifest.globs import matches
from provision.manifest.variants import usable

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
FLUX = "black-forest-labs/FLUX.1-dev"
LLAMA = "meta-llama/Meta-Llama-3-8B"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
WHISPER = "openai/whisper-large-v3"
FLAN = "google/flan-t5-xl"
WAN_QUANTS = "city96/Wan2.1-T2V-14B-gguf"
QUANTS = "bartowski/Llama-3.3-70B-Instruct-GGUF"
COMFY = "Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
CONTROLNET = "diffusers/controlnet-canny-sdxl-1.0"
IP_ADAPTER = "h94/IP-Adapter"


@cache
def made(repository: str) -> dict[str, bytes]:
    """The repository, each file with the least that is true of its kind."""
    return {path: _data(path, LISTINGS[repository]) for path in LISTINGS[repository]}


def _data(path: str, paths: Sequence[str]) -> bytes:
    name = path.rpartition("/")[2]
    if ".index." in name:
        return _index(path, paths) if ".msgpack." not in name else b"{}"
    if name == "model_index.json":
        return _pipeline(paths)
    if name == "tokenizer_config.json":
        return text(
            tokenizer_class="ByT5Tokenizer" if paths is LISTINGS["google/byt5-small"] else "PreTrainedTokenizerFast"
        )
    if name == "config.json":
        return text(model_type="some", architectures=["Some"])
    if name.endswith(".safetensors"):
        return _halves() if "lora" in name else tensors(**{name: 1})
    return {"json": b"{}", "gguf": gguf(), "onnx": onnx()}.get(name.rpartition(".")[2], b"x")


def _halves() -> bytes:
    return tensors(**{"a.lora_down.weight": 1, "a.lora_up.weight": 1})


def _index(path: str, paths: Sequence[str]) -> bytes:
    """Over the shards beside it that have its base, format and variant; each holds one tensor of its own name."""
    folder, _, name = path.rpartition("/")
    base, form, tag = name.split(".")[0], name.split(".")[1], "".join(f".{word}" for word in name.split(".")[3:-1])
    inside = [other.removeprefix(f"{folder}/") for other in paths if other.rpartition("/")[0] == folder]
    shards = [other for other in inside if other.startswith(f"{base}{tag}-0") and other.endswith(form)]
    assert shards, f"{path} has no shards in the list"
    return text(metadata={"total_size": 2 * len(shards)}, weight_map={shard: shard for shard in shards})


_CLASSES = {
    "feature_extractor": ("transformers", "CLIPImageProcessor"),
    "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker"),
    "scheduler": ("diffusers", "EulerDiscreteScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "T5EncoderModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "tokenizer_2": ("transformers", "T5TokenizerFast"),
    "transformer": ("diffusers", "FluxTransformer2DModel"),
    "transformer_2": ("diffusers", "WanTransformer3DModel"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}


def _pipeline(paths: Sequence[str]) -> bytes:
    folders = {path.partition("/")[0] for path in paths}
    parts = {name: pair for name, pair in _CLASSES.items() if name in folders}
    return text(_class_name="SomePipeline", image_encoder=[None, None], boundary_ratio=0.9, **parts)


def test_every_rule_is_on_the_page():
    page = (Path(__file__).parent.parent / "docs/manifest.md").read_text()

    assert [rule for rule in Rule if f"`{rule.value}`" not in page and rule is not Rule.PICKLE_DANGEROUS] == []


@pytest.mark.parametrize("repository", LISTINGS)
def test_a_whole_repository_raises_no_alarm_at_all(repository):
    assert found(made(repository)) == []


def test_an_index_that_was_converted_with_its_tied_tensors_is_never_refused():
    """The converter copies the map of the pickles, and leaves tied tensors out of the shards."""
    files = dict(made(FLAN))
    pickled = json.loads(files["model.safetensors.index.json"])
    first = next(iter(pickled["weight_map"].values()))
    pickled["weight_map"] |= {"encoder.embed_tokens.weight": first, "decoder.embed_tokens.weight": first}
    files["model.safetensors.index.json"] = json.dumps(pickled).encode()

    assert [(misfit.rule, misfit.grave) for misfit in found(files)] == [("tensor-missing", False)]


def test_quants_of_a_video_model_raise_no_alarm_at_all():
    """Patches of time, height and width have five dimensions; other programs than llama.cpp give longer names."""
    name = "model.diffusion_model.double_blocks.0.img_attn.patch_embedding.proj.weight"
    quant = gguf([(name, (2, 2, 1, 16, 2), 0, 0)], data=512)

    assert found(made(WAN_QUANTS) | {path: quant for path in LISTINGS[WAN_QUANTS] if path.endswith(".gguf")}) == []


def chosen(
    repository: str, files: Iterable[str] = ("**",), exclude: Iterable[str] = (), variant: str = ""
) -> list[str]:
    paths = [path for path in LISTINGS[repository] if any(matches(pattern, path) for pattern in files)]
    paths = [path for path in paths if not any(matches(pattern, path) for pattern in exclude)]
    assert len(paths) > 0
    return list(usable(paths, variant).paths) if variant else paths


def alarms(repository: str, **choice) -> list[tuple[str, bool]]:
    files = {path: made(repository)[path] for path in chosen(repository, **choice)}
    return [(misfit.rule.value, misfit.grave) for misfit in found(files)]


PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.msgpack", "*.h5", "*.ot")


@pytest.mark.parametrize("repository", LISTINGS)
def test_leaving_the_pickles_out_raises_no_alarm_where_there_is_something_else(repository):
    if not any(path.endswith((".safetensors", ".gguf", ".onnx")) for path in LISTINGS[repository]):
        pytest.skip("it has nothing but pickles")

    assert alarms(repository, exclude=PICKLES) == []


@pytest.mark.parametrize(
    "choice",
    [
        (SDXL, {"variant": "fp16"}),
        (SDXL, {"variant": "fp16", "exclude": ["sd_xl_*", "*.png", "vae_*"]}),
        (SDXL, {"files": ["sd_xl_base_1.0.safetensors"]}),
        (SDXL, {"files": ["vae/*"]}),
        (SDXL, {"files": ["unet/diffusion_pytorch_model.fp16.safetensors"]}),
        (SDXL, {"files": ["tokenizer/*", "text_encoder/config.json", "text_encoder/model.safetensors"]}),
        (SDXL, {"files": ["model_index.json", "*.fp16.safetensors", "**/*config.json", "*.txt", "vocab.json"]}),
        (FLUX, {"files": ["flux1-dev.safetensors", "ae.safetensors"]}),
        (FLUX, {"exclude": ["flux1-dev.safetensors", "ae.safetensors"]}),
        (FLUX, {"files": ["transformer/"]}),
        (FLAN, {"exclude": ["*.bin", "*.msgpack"]}),
        (LLAMA, {"exclude": ["original/"]}),
        (LLAMA, {"files": ["*.safetensors", "*.json"]}),
        (MINILM, {"files": ["onnx/model.onnx", "*.json", "vocab.txt"]}),
        (MINILM, {"files": ["*.safetensors", "*.json", "*.txt"]}),
        (WHISPER, {"exclude": ["*fp32*"]}),
        (WHISPER, {"files": ["*.json", "*.txt", "model.safetensors"]}),
        (QUANTS, {"files": ["*Q4_K_M.gguf"]}),
        (QUANTS, {"files": ["Llama-3.3-70B-Instruct-Q8_0/"]}),
        (COMFY, {"files": ["**/*fp8_scaled.safetensors", "**/wan_2.1_vae.safetensors"]}),
        (CONTROLNET, {"files": ["diffusion_pytorch_model.fp16.safetensors"]}),
        (IP_ADAPTER, {"files": ["models/image_encoder/model.safetensors", "sdxl_models/ip-adapter_sdxl.safetensors"]}),
    ],
    ids=str,
)
def test_what_people_choose_raises_no_alarm_at_all(choice):
    assert alarms(choice[0], **choice[1]) == []


@pytest.mark.parametrize(
    "choice",
    [
        (LLAMA, {"files": ["*.json"]}),
        (LLAMA, {"files": ["tokenizer*", "config.json", "special_tokens_map.json"]}),
        (SDXL, {"files": ["*.json"]}),
        (SDXL, {"files": ["model_index.json"]}),
        (SDXL, {"files": ["sd_xl_base_1.0.safetensors", "*.json", "*.txt"]}),
        (FLUX, {"files": ["tokenizer_2/tokenizer_config.json"]}),
        (FLUX, {"files": ["text_encoder_2/*.safetensors"]}),
    ],
    ids=str,
)
def test_what_may_be_wanted_so_is_told_and_not_refused(choice):
    raised = alarms(choice[0], **choice[1])

    assert raised != []
    assert not any(grave for _, grave in raised)


@pytest.mark.parametrize(
    ("choice", "rule"),
    [
        ((LLAMA, {"exclude": ["model-00003-*"]}), "shard-missing"),
        ((LLAMA, {"files": ["*.safetensors", "config.json", "tokenizer_config.json"]}), "vocabulary-missing"),
        ((FLUX, {"exclude": ["vae/"]}), "component-missing"),
        ((FLUX, {"exclude": ["transformer/*-00002-*"]}), "shard-missing"),
        ((SDXL, {"exclude": ["unet/*.safetensors", *PICKLES, "*.onnx", "*.onnx_data", "*.xml"]}), "component-weights"),
        ((SDXL, {"exclude": ["*_config.json", "tokenizer*"]}), "component-missing"),
        ((QUANTS, {"exclude": ["*-00002-of-00002.gguf"]}), "gguf-part-missing"),
    ],
    ids=str,
)
def test_what_cannot_be_loaded_is_refused(choice, rule):
    grave = {name for name, is_grave in alarms(choice[0], **choice[1]) if is_grave}

    assert grave == {rule}
