"""Material for the tests of reports: one verification with every state, and names that no report may trip over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from provision.composition import Misfit, Rule
from provision.lock import HeaderFacts, Lock, LockedFile, LockedModel
from provision.report.advice import Commands, Named
from provision.verification.findings import Finding, Mode, ModelMisfit, Note, State, Verification

GOLDENS = Path(__file__).parent / "data/reports"
MADE_AT = datetime(2026, 8, 30, 12, 34, 56, tzinfo=UTC)
WHERE = Commands(
    projects={name: Named(word=name, has_manifest=True) for name in ("wan22-i2v", "images")}, volume="/runpod-volume"
)
"""What was given to the command that reports."""
GB = 10**9

HOSTILE = "models/<script>alert(1)</script>&\"'|`*_[x](http://127.0.0.1)_`%0A::error,title:é漢.bin"
"""May stand on a volume: no rule of names forbids it."""

HIGH = "runpod-slim/ComfyUI/models/diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"
LOW = "runpod-slim/ComfyUI/models/diffusion_models/low_noise.safetensors"
VAE = "runpod-slim/ComfyUI/models/vae/wan_2.1_vae.safetensors"
CLIP = "runpod-slim/ComfyUI/models/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"
UNET = "photonicfusion-sdxl/unet/diffusion_pytorch_model.fp16.safetensors"


def locked(target: str, size: int, parameters: int = 0, dtype: str = "F8_E4M3", seed: str = "a") -> LockedFile:
    header = HeaderFacts(sha256="e" * 64, tensors=1095, parameters=parameters, dtypes=((dtype, parameters),))
    return LockedFile(
        path=target, target=target, size=size, sha256=seed * 64, header=header if parameters else None
    )  # fmt: skip


def model(name: str, source: str, license_: str | None, files: tuple[LockedFile, ...], layout: str) -> LockedModel:
    return LockedModel(
        name=name, source=source, revision="main", commit="0123456789" * 4, layout=layout, license=license_,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip


def locks() -> tuple[Lock, ...]:
    wan = model(
        "wan2.2-diffusion", "hf://Comfy-Org/Wan_2.2_ComfyUI_Repackaged", "apache-2.0",
        (locked(HIGH, 14_294_967_296, 14_288_491_584), locked(LOW, 14_294_967_296, 14_288_491_584)), "flat",
    )  # fmt: skip
    rest = model(
        "wan2.2-rest", "hf://Comfy-Org/Wan_2.1_ComfyUI_repackaged", None,
        (locked(VAE, 253_815_318, 126_892_531, "BF16"), locked(CLIP, 6_735_906_897, 5_680_910_336)), "flat",
    )  # fmt: skip
    sdxl = model(
        "sdxl", "hf://Baileyy/photonicfusion-sdxl", 'other <img src=x onerror="alert(2)">',
        (
            locked(UNET, 5_135_149_760, 2_567_463_684, "F16"),
            locked("photonicfusion-sdxl/model_index.json", 685),
            locked("photonicfusion-sdxl/vae/config.json", 753),
        ), "tree",
    )  # fmt: skip
    vad = model("vad", "modelscope://iic/speech_fsmn_vad_zh-cn-16k-common-pytorch", "Apache License 2.0",
                (locked(HOSTILE, 1_721_366), locked("vad/am.mvn", 7_974)), "modelscope-cache")  # fmt: skip
    return (
        Lock(project="wan22-i2v", root="runpod-slim/ComfyUI/models", manifest_sha256="c" * 64, models=(wan, rest)),
        Lock(project="images", root="", manifest_sha256="d" * 64, models=(sdxl, vad)),
    )


def found(project: str, model: str, file: tuple[str, int], state: State, *told, damaged=()) -> Finding:
    expected, actual, detail = (*told, None, None, "")[:3] if len(told) < 3 else told
    return Finding(
        project=project, model=model, target=file[0], size=file[1], state=state, expected=expected, actual=actual,
        detail=detail or "", damaged=damaged,
    )  # fmt: skip


def everything() -> Verification:
    """A verification with every state, two projects, misfits of both kinds, notes, and a file not looked at."""
    wan, images = "wan22-i2v", "images"
    return Verification(
        volume="/runpod-volume",
        mode=Mode.FULL,
        findings=(
            found(wan, "wan2.2-diffusion", (HIGH, 14_294_967_296), State.DIGEST, "a" * 64, "9f" * 32, "",
                  damaged=((1_073_741_824, 1_090_519_040), (14_280_000_000, 14_294_967_296))),
            found(wan, "wan2.2-diffusion", (LOW, 14_294_967_296), State.OK),
            found(wan, "wan2.2-rest", (VAE, 253_815_318), State.SIZE, 253_815_318, 1, "this is plain text"),
            found(wan, "wan2.2-rest", (CLIP, 6_735_906_897), State.MISSING),
            found(images, "sdxl", (UNET, 5_135_149_760), State.HEADER, "e" * 64, None, "it is damaged"),
            found(images, "sdxl", ("photonicfusion-sdxl/model_index.json", 685), State.UNPROVEN, None, None,
                  "it looks right, but nothing vouches for it"),
            found(images, "vad", (HOSTILE, 1_721_366), State.UNREADABLE, None, None, "\x1b[31mInput/output error\n"),
            found("", "", ("stray\u2028/old.ckpt", 2 * GB), State.UNEXPECTED),
            found(images, "vad", ("vad/am.mvn", 7_974), State.OK),
        ),
        misfits=(
            ModelMisfit(project=images, model="sdxl", misfit=Misfit(
                rule=Rule.SHARD_MISSING, path="unet/<b>index</b>.json",
                detail="names `model-00002.safetensors`, which is not there")),
            ModelMisfit(project=images, model="vad", misfit=Misfit(
                rule=Rule.SHARD_MISSING, path="configuration.json", detail="has no tokenizer", grave=False)),
        ),
        notes=(
            Note(kind="other-lock", text="this volume was filled from another lock of wan22-i2v: vae differs"),
            Note(kind="max-age", text="2 files were proven less than 7 d ago and not read again"),
        ),
        unread=1,
    )  # fmt: skip


def all_well(files: int = 14, mode: Mode = Mode.QUICK) -> Verification:
    names = [f"models/{number}.safetensors" for number in range(files)]
    findings = tuple(found("p", "m", (name, GB), State.OK) for name in names)
    return Verification(volume="/runpod-volume", mode=mode, findings=findings)


def lost(files: int) -> Verification:
    """A volume on which nothing stands of one model."""
    findings = tuple(found("p", "m", (f"models/{number}.bin", 1000), State.MISSING) for number in range(files))
    return Verification(volume="/runpod-volume", mode=Mode.QUICK, findings=findings)


def golden(name: str) -> str:
    """The text that was looked at by a person and found good."""
    return (GOLDENS / name).read_text(encoding="utf-8")


PLACES = {"wan22-i2v": "manifests/wan22-i2v.lock.json"}
"""The lock of the other project is on the volume only."""
