"""The files that let ONNX Runtime GenAI open an artifact unmodified."""

from pathlib import Path
from typing import Any

from whisperopt.artifact import Manifest
from whisperopt.release import catalog
from whisperopt.whisper import HOP_LENGTH, SAMPLE_RATE, Dimensions

# What GenAI calls the provider of a backend; the CPU is its default.
_PROVIDERS = {
    "cuda": "cuda",
    "directml": "dml",
    "tensorrt": "NvTensorRtRtx",
    "webgpu": "WebGPU",
}
_N_FFT = 400


def write(folder: Path, manifest: Manifest) -> None:
    """Write `genai_config.json`, `audio_processor_config.json` and `tokenizer_config.json`."""
    documents = {
        "genai_config.json": _config(manifest),
        "audio_processor_config.json": _audio(manifest.dims),
        "tokenizer_config.json": {"tokenizer_class": "WhisperTokenizer"},
    }
    for name, document in documents.items():
        (folder / name).write_bytes(catalog.encode(document))


def _config(manifest: Manifest) -> dict[str, Any]:
    dims, decoding = manifest.dims, manifest.decoding
    shared = manifest.recipe.cache != "concat"
    return {
        "model": {
            "type": "whisper",
            "bos_token_id": decoding.end_of_text,
            "eos_token_id": decoding.end_of_text,
            "pad_token_id": decoding.end_of_text,
            "context_length": dims.text_context,
            "vocab_size": dims.vocabulary,
            "encoder": {
                **_part(manifest, "encoder", dims.encoder_heads, dims.encoder_heads),
                "num_hidden_layers": dims.encoder_layers,
                "inputs": {"audio_features": "audio_features"},
                "outputs": {
                    "encoder_hidden_states": "hidden_states",
                    "cross_present_key_names": "present_key_cross_%d",
                    "cross_present_value_names": "present_value_cross_%d",
                },
            },
            "decoder": {
                **_part(manifest, "decoder", dims.decoder_heads, dims.decoder_kv_heads),
                "num_hidden_layers": dims.decoder_layers,
                "inputs": {
                    "input_ids": "input_ids",
                    "past_key_names": "past_key_self_%d",
                    "past_value_names": "past_value_self_%d",
                    "cross_past_key_names": "past_key_cross_%d",
                    "cross_past_value_names": "past_value_cross_%d",
                    **({"past_sequence_length": "past_sequence_length"} if shared else {}),
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present_key_self_%d",
                    "present_value_names": "present_value_self_%d",
                },
            },
        },
        "search": {
            "do_sample": False,
            "num_beams": 1,
            "max_length": dims.text_context,
            "past_present_share_buffer": shared,
        },
    }


def _part(manifest: Manifest, part: str, heads: int, kv_heads: int) -> dict[str, Any]:
    provider = _PROVIDERS.get(manifest.backend)
    return {
        "filename": f"{part}.onnx",
        "session_options": {
            "log_id": "onnxruntime-genai",
            "provider_options": [{provider: {}}] if provider else [],
        },
        "head_size": manifest.dims.head_size,
        "hidden_size": manifest.dims.width,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
    }


def _audio(dims: Dimensions) -> dict[str, Any]:
    window = {"n_fft": _N_FFT, "frame_length": _N_FFT, "hop_length": HOP_LENGTH}
    log_mel = {
        "chunk_size": dims.window // SAMPLE_RATE,
        "hop_length": HOP_LENGTH,
        "n_fft": _N_FFT,
        "n_mel": dims.mels,
    }
    steps = (
        {"name": "audio_decoder", "type": "AudioDecoder"},
        {"name": "STFT", "type": "STFTNorm", "attrs": window},
        {"name": "log_mel_spectrogram", "type": "LogMelSpectrum", "attrs": log_mel},
    )
    return {"feature_extraction": {"sequence": [{"operation": step} for step in steps]}}
