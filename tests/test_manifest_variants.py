"""Which weights of a diffusers tree a variant takes. The listings are of real repositories, less their pictures."""

from __future__ import annotations

import pytest

from provision.manifest.variants import usable

# Lines: a mark and a path. `+` stays for fp16, `-` does not, `.` is no weight and always stays.
SDXL = """
. README.md
. model_index.json
- sd_xl_base_1.0.safetensors
- sd_xl_base_1.0_0.9vae.safetensors
- sd_xl_offset_example-lora_1.0.safetensors
. scheduler/scheduler_config.json
. text_encoder/config.json
- text_encoder/flax_model.msgpack
+ text_encoder/model.fp16.safetensors
- text_encoder/model.onnx
- text_encoder/model.safetensors
- text_encoder/openvino_model.bin
- text_encoder/openvino_model.xml
. text_encoder_2/config.json
+ text_encoder_2/model.fp16.safetensors
- text_encoder_2/model.onnx
- text_encoder_2/model.onnx_data
- text_encoder_2/model.safetensors
. tokenizer/merges.txt
. tokenizer/vocab.json
. unet/config.json
- unet/diffusion_flax_model.msgpack
+ unet/diffusion_pytorch_model.fp16.safetensors
- unet/diffusion_pytorch_model.safetensors
- unet/model.onnx
. vae/config.json
+ vae/diffusion_pytorch_model.fp16.safetensors
- vae/diffusion_pytorch_model.safetensors
. vae_decoder/config.json
- vae_decoder/model.onnx
"""

SD15 = """
. model_index.json
- v1-5-pruned.ckpt
- v1-5-pruned-emaonly.safetensors
. feature_extractor/preprocessor_config.json
+ safety_checker/model.fp16.safetensors
- safety_checker/model.safetensors
- safety_checker/pytorch_model.bin
- safety_checker/pytorch_model.fp16.bin
. unet/config.json
- unet/diffusion_pytorch_model.bin
- unet/diffusion_pytorch_model.fp16.bin
+ unet/diffusion_pytorch_model.fp16.safetensors
- unet/diffusion_pytorch_model.ema.safetensors
- unet/diffusion_pytorch_model.non_ema.bin
- unet/diffusion_pytorch_model.non_ema.safetensors
- unet/diffusion_pytorch_model.safetensors
"""

SHARDS = """
. model_index.json
. text_encoder/config.json
- text_encoder/model-00001-of-00002.safetensors
- text_encoder/model-00002-of-00002.safetensors
+ text_encoder/model.fp16-00001-of-00002.safetensors
+ text_encoder/model.fp16-00002-of-00002.safetensors
+ text_encoder/model.safetensors.index.fp16.json
- text_encoder/model.safetensors.index.json
+ transformer/diffusion_pytorch_model-00001-of-00002.fp16.safetensors
- transformer/diffusion_pytorch_model-00001-of-00002.safetensors
+ transformer/diffusion_pytorch_model-00002-of-00002.fp16.safetensors
- transformer/diffusion_pytorch_model-00002-of-00002.safetensors
+ transformer/diffusion_pytorch_model.safetensors.fp16.index.json
- transformer/diffusion_pytorch_model.safetensors.index.json
"""

SHARDS_IN_BOTH_SPELLINGS = """
+ unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors
+ unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors
- unet/diffusion_pytorch_model-00001-of-00002.fp16.safetensors
- unet/diffusion_pytorch_model-00002-of-00002.fp16.safetensors
"""

ONE_VARIANT_FILE_FOR_PLAIN_SHARDS = """
+ unet/diffusion_pytorch_model.fp16.safetensors
- unet/diffusion_pytorch_model-00001-of-00002.safetensors
- unet/diffusion_pytorch_model-00002-of-00002.safetensors
- unet/diffusion_pytorch_model.safetensors.index.json
"""

MIXED = """
. model_index.json
- model.safetensors
- diffusion_pytorch_model.fp16.safetensors
+ text_encoder/model.safetensors
- text_encoder/pytorch_model.fp16.bin
+ image_encoder/model-00001-of-00002.safetensors
+ image_encoder/model-00002-of-00002.safetensors
+ image_encoder/model.safetensors.index.json
+ unet/diffusion_pytorch_model.fp16.safetensors
- unet/diffusion_pytorch_model.safetensors
+ safety_checker/pytorch_model.fp16.bin
- safety_checker/pytorch_model.bin
- controlnet/diffusion_pytorch_model.ema.safetensors
"""

NONE_OF_THE_VARIANT = """
. model_index.json
+ text_encoder/model.safetensors
+ unet/diffusion_pytorch_model.safetensors
- unet/diffusion_pytorch_model.bin
"""

NO_COMPONENTS = """
. config.json
+ model.fp16.safetensors
- model.safetensors
- pytorch_model.bin
- tf_model.h5
"""

NO_KNOWN_NAME = """
. README.md
+ lora.safetensors
+ other.fp16.safetensors
"""

TREES = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("tree", TREES.values(), ids=list(TREES))
def test_fp16_takes_its_weights_and_what_is_no_weight(tree):
    marked = [line.split(" ", 1) for line in tree.split("\n") if line]
    assert list(usable([path for _, path in marked], "fp16").paths) == [path for mark, path in marked if mark != "-"]


def test_another_variant_takes_its_own_and_the_plain_ones_elsewhere():
    paths = [line[2:] for line in SD15.split("\n") if line]
    assert [path for path in usable(paths, "non_ema").paths if not path.endswith("json")] == [
        "safety_checker/model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
    ]


def test_it_is_told_where_only_plain_weights_are():
    found = usable([line[2:] for line in MIXED.split("\n") if line], "fp16")
    assert found.variant_in == ("safety_checker", "unet")
    assert found.plain_in == ("image_encoder", "text_encoder")
