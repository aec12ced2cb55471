"""What some repositories list on their hubs: names only, `{a,b}` for several."""

from __future__ import annotations

import re

_LISTINGS = {
    "stabilityai/stable-diffusion-xl-base-1.0": """
        .gitattributes 01.png LICENSE.md README.md comparison.png model_index.json pipeline.png
        sd_xl_base_1.0.safetensors sd_xl_base_1.0_0.9vae.safetensors
        sd_xl_offset_example-lora_1.0.safetensors scheduler/scheduler_config.json
        {text_encoder,text_encoder_2}/{config.json,flax_model.msgpack,model.fp16.safetensors,model.onnx,model.safetensors}
        {text_encoder,text_encoder_2}/{openvino_model.bin,openvino_model.xml} text_encoder_2/model.onnx_data
        {tokenizer,tokenizer_2}/{merges.txt,special_tokens_map.json,tokenizer_config.json,vocab.json}
        unet/{config.json,diffusion_flax_model.msgpack,diffusion_pytorch_model.fp16.safetensors,model.onnx,model.onnx_data}
        unet/{diffusion_pytorch_model.safetensors,openvino_model.bin,openvino_model.xml}
        {vae,vae_1_0}/{config.json,diffusion_pytorch_model.fp16.safetensors,diffusion_pytorch_model.safetensors}
        {vae_decoder,vae_encoder}/{config.json,model.onnx,openvino_model.bin,openvino_model.xml}
    """,
    "black-forest-labs/FLUX.1-dev": """
        .gitattributes LICENSE.md README.md ae.safetensors dev_grid.jpg flux1-dev.safetensors model_index.json
        scheduler/scheduler_config.json text_encoder/{config.json,model.safetensors}
        text_encoder_2/{config.json,model-00001-of-00002.safetensors,model-00002-of-00002.safetensors}
        text_encoder_2/model.safetensors.index.json
        tokenizer/{merges.txt,special_tokens_map.json,tokenizer_config.json,vocab.json}
        tokenizer_2/{special_tokens_map.json,spiece.model,tokenizer.json,tokenizer_config.json}
        transformer/{config.json,diffusion_pytorch_model.safetensors.index.json}
        transformer/diffusion_pytorch_model-{00001,00002,00003}-of-00003.safetensors
        vae/{config.json,diffusion_pytorch_model.safetensors}
    """,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": """
        .gitattributes README.md model_index.json v1-inference.yaml v1-5-pruned-emaonly.{ckpt,safetensors}
        v1-5-pruned.{ckpt,safetensors} feature_extractor/preprocessor_config.json scheduler/scheduler_config.json
        {safety_checker,text_encoder}/{config.json,model.fp16.safetensors,model.safetensors,pytorch_model.bin}
        {safety_checker,text_encoder}/pytorch_model.fp16.bin
        tokenizer/{merges.txt,special_tokens_map.json,tokenizer_config.json,vocab.json}
        unet/{config.json,diffusion_pytorch_model.bin,diffusion_pytorch_model.fp16.bin,diffusion_pytorch_model.safetensors}
        unet/diffusion_pytorch_model.{fp16.safetensors,non_ema.bin,non_ema.safetensors}
        vae/{config.json,diffusion_pytorch_model.bin,diffusion_pytorch_model.fp16.bin,diffusion_pytorch_model.safetensors}
        vae/diffusion_pytorch_model.fp16.safetensors
    """,
    "Wan-AI/Wan2.2-I2V-A14B-Diffusers": """
        .gitattributes README.md model_index.json scheduler/scheduler_config.json
        text_encoder/{config.json,model.safetensors.index.json,model-{00001,00002,00003}-of-00003.safetensors}
        tokenizer/{special_tokens_map.json,spiece.model,tokenizer.json,tokenizer_config.json}
        {transformer,transformer_2}/{config.json,diffusion_pytorch_model.safetensors.index.json}
        {transformer,transformer_2}/diffusion_pytorch_model-{00001,00002}-of-00002.safetensors
        vae/{config.json,diffusion_pytorch_model.safetensors}
    """,
    "Comfy-Org/Wan_2.2_ComfyUI_Repackaged": """
        .gitattributes README.md split_files/audio_encoders/wav2vec2_large_english_fp16.safetensors
        split_files/diffusion_models/wan2.2_i2v_{high,low}_noise_14B_{fp16,fp8_scaled}.safetensors
        split_files/loras/wan2.2_i2v_lightx2v_4steps_lora_v1_{high,low}_noise.safetensors
        split_files/text_encoders/umt5_xxl_{fp16,fp8_e4m3fn_scaled}.safetensors
        split_files/vae/{wan2.2_vae.safetensors,wan_2.1_vae.safetensors}
    """,
    "meta-llama/Meta-Llama-3-8B": """
        .gitattributes LICENSE README.md USE_POLICY.md config.json generation_config.json
        model-{00001,00002,00003,00004}-of-00004.safetensors model.safetensors.index.json
        original/{consolidated.00.pth,params.json,tokenizer.model} special_tokens_map.json tokenizer.json
        tokenizer_config.json
    """,
    "mistralai/Mistral-7B-Instruct-v0.3": """
        .gitattributes README.md config.json consolidated.safetensors generation_config.json params.json
        model-{00001,00002,00003}-of-00003.safetensors model.safetensors.index.json special_tokens_map.json
        tokenizer.json tokenizer.model tokenizer.model.v3 tokenizer_config.json
    """,
    "sentence-transformers/all-MiniLM-L6-v2": """
        .gitattributes 1_Pooling/config.json README.md config.json config_sentence_transformers.json data_config.json
        model.safetensors modules.json onnx/model{,_O1,_O2,_O3,_O4,_qint8_arm64,_quint8_avx2}.onnx
        openvino/{openvino_model.bin,openvino_model.xml,openvino_model_qint8_quantized.bin} pytorch_model.bin
        rust_model.ot sentence_bert_config.json special_tokens_map.json tf_model.h5 tokenizer.json tokenizer_config.json
        train_script.py vocab.txt
    """,
    "openai/whisper-large-v3": """
        .gitattributes README.md added_tokens.json config.json flax_model.msgpack generation_config.json merges.txt
        model.safetensors model.fp32-{00001,00002}-of-00002.safetensors model.safetensors.index.fp32.json
        normalizer.json preprocessor_config.json pytorch_model.bin pytorch_model.fp32-{00001,00002}-of-00002.bin
        pytorch_model.bin.index.fp32.json special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json
    """,
    "google/flan-t5-xl": """
        .gitattributes README.md config.json flax_model-{00001,00002}-of-00002.msgpack flax_model.msgpack.index.json
        generation_config.json model-{00001,00002}-of-00002.safetensors model.safetensors.index.json
        pytorch_model-{00001,00002}-of-00002.bin pytorch_model.bin.index.json special_tokens_map.json spiece.model
        tokenizer.json tokenizer_config.json
    """,
    "city96/Wan2.1-T2V-14B-gguf": """
        .gitattributes README.md wan2.1-t2v-14b-{BF16,F16,Q3_K_S,Q4_K_M,Q8_0}.gguf
    """,
    "bartowski/Llama-3.3-70B-Instruct-GGUF": """
        .gitattributes README.md Llama-3.3-70B-Instruct-{IQ2_M,Q4_K_M,Q5_K_S}.gguf Llama-3.3-70B-Instruct.imatrix
        Llama-3.3-70B-Instruct-Q8_0/Llama-3.3-70B-Instruct-Q8_0-{00001,00002}-of-00002.gguf
    """,
    "iic/speech_seaco_paraformer_large_asr_nat-zh-cn-16k-common-vocab8404-pytorch": """
        .gitattributes README.md am.mvn asr_example_hotword.wav config.yaml configuration.json example/asr_example.wav
        fig/seaco.png model.pt seg_dict tokens.json
    """,
    "google/byt5-small": """
        .gitattributes README.md config.json flax_model.msgpack generation_config.json pytorch_model.bin
        special_tokens_map.json tf_model.h5 tokenizer_config.json
    """,
    "Xenova/bge-small-en-v1.5": """
        .gitattributes README.md config.json onnx/{model.onnx,model_quantized.onnx} quantize_config.json
        special_tokens_map.json tokenizer.json tokenizer_config.json vocab.txt
    """,
    "h94/IP-Adapter": """
        .gitattributes README.md fig1.png models/image_encoder/{config.json,model.safetensors,pytorch_model.bin}
        models/ip-adapter{,-plus,-plus-face,_light}_sd15.{bin,safetensors}
        sdxl_models/image_encoder/{config.json,model.safetensors,pytorch_model.bin}
        sdxl_models/ip-adapter{,-plus}_sdxl{,_vit-h}.{bin,safetensors}
    """,
    "diffusers/controlnet-canny-sdxl-1.0": """
        .gitattributes README.md config.json diffusion_pytorch_model.{bin,fp16.bin,fp16.safetensors,safetensors}
        out_bird.png
    """,
}


def _spread(word: str) -> list[str]:
    found = re.search(r"\{([^{}]*)\}", word)
    if not found:
        return [word]
    return [
        one for choice in found[1].split(",") for one in _spread(word[: found.start()] + choice + word[found.end() :])
    ]


LISTINGS = {
    name: sorted({path for word in words.split() for path in _spread(word)}) for name, words in _LISTINGS.items()
}
