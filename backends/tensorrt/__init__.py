"""NVIDIA GPUs through TensorRT, by what loads: ONNX Runtime's provider, or TensorRT for RTX."""

from pathlib import Path

import msgspec

from whisperopt import cache
from whisperopt import host as hosts
from whisperopt.artifact import Artifact
from whisperopt.backend import Probe
from whisperopt.errors import WhisperoptError
from whisperopt.host import distribution_version, distributions
from whisperopt.ort_backend import OrtBackend
from whisperopt.runtime import provider as providers
from whisperopt.runtime.provider import Provider

from . import shapes
from .recipes import DEVICE, RECIPES, RTX
from .rehearsal import TensorRtRehearsal

TENSORRT = Provider(
    name="TensorrtExecutionProvider",
    device="cuda",
    preload=("tensorrt_libs", "tensorrt"),
    exclusive=True,
    max_batch=shapes.MAX_BATCH,
    mover="CUDAExecutionProvider",
)
TENSORRT_RTX = Provider(
    name="NvTensorRTRTXExecutionProvider",
    device="cuda",
    library="onnxruntime_ep_nv_tensorrt_rtx",
    exclusive=True,
    chunked_prefill="none",
    max_batch=shapes.MAX_BATCH,
)
_PLUG_IN = "onnxruntime-ep-nv-tensorrt-rtx"
_INSTALL_PLUG_IN = f"pip install 'whisperopt[{RTX}]'"


class TensorRtBackend(OrtBackend, frozen=True, kw_only=True):
    """ONNX Runtime's TensorRT provider where it loads, else the plug-in of TensorRT for RTX."""

    def probe(self) -> Probe:
        """Say which of the two is here; if none is, why, and what to install."""
        own = providers.probe(self.provider, self.runtime, self.extra)
        if own.ready:
            return msgspec.structs.replace(own, facts={DEVICE: self.runtime})
        plug_in = providers.probe(TENSORRT_RTX, RTX, self.extra)
        if plug_in.ready:
            version = distribution_version(_PLUG_IN)
            return msgspec.structs.replace(plug_in, version=version, facts={DEVICE: RTX})
        only_plug_in = distribution_version("onnxruntime") is not None
        return msgspec.structs.replace(
            own,
            reason=f"{own.reason}; for {RTX}: {plug_in.reason}",
            remedy=_INSTALL_PLUG_IN if only_plug_in else own.remedy,
        )

    def provider_for(self, artifact: Artifact) -> Provider:
        """Return the first that loads; it builds both engines, or takes them from the cache.

        Raises `WhisperoptError` if what the artifact was made for does not load here.
        """
        only_rtx = artifact.manifest.recipe.options.get(DEVICE) == RTX
        reasons = []
        for candidate in (TENSORRT_RTX,) if only_rtx else (self.provider, TENSORRT_RTX):
            reason = providers.why_not(candidate)
            if reason is None:
                return msgspec.structs.replace(candidate, options=_options(candidate, artifact))
            reasons.append(str(reason))
        if only_rtx:
            raise WhisperoptError(
                f"{artifact.name} is for TensorRT for RTX alone, anywhere else"
                f" GroupQueryAttention would leave the engine: {reasons[0]}",
                _INSTALL_PLUG_IN,
            )
        raise WhisperoptError(
            f"Neither TensorRT nor TensorRT for RTX loads: {'; '.join(reasons)}",
            "`whisperopt doctor` says what is missing",
        )


def _options(chosen: Provider, artifact: Artifact) -> dict[str, str]:
    """Return the options of `chosen`: ranges of all lengths, and where to keep what is built.

    Neither fp16 nor int8 is ever allowed here: without them networks are strongly typed, and an
    artifact computes in the types that it was proven with.
    """
    known = distributions.installed()  # those of the system too
    own = {n: v for n, v in known.items() if n.startswith(("onnxruntime", "tensorrt"))}
    dims, runtime = artifact.manifest.dims, f"{chosen.name} {own}"
    prefix = "nv" if chosen.library else "trt"
    options = {
        f"{prefix}_profile_{bound}_shapes": shapes.profile(dims, bound)
        for bound in shapes.Range._fields
    }
    built = engine_folder(artifact, runtime)
    if chosen.library:
        return options | ({"nv_runtime_cache_path": str(built)} if built else {})
    if built:
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(built)}
    if timed := engine_folder(None, runtime):
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(timed)}
    return options


def engine_folder(artifact: Artifact | None, runtime: str) -> Path | None:
    """Return a folder for what `runtime` builds here of `artifact`, or None if none can be made.

    Without an artifact it is for what serves all, such as the timings of kernels. ONNX Runtime tells
    engines apart by the names in a graph, not by its weights, its driver or the runtime's version:
    everything that decides has to be in the folder's name.
    """
    gpu = (artifact and artifact.adapter) or hosts.probe().gpu_for("nvidia")
    capability = (gpu and gpu.compute_capability) or ""
    files = cache.files_key(artifact.path) if artifact else ""
    key = cache.key(files, (gpu and gpu.driver) or "", capability, runtime)
    place = cache.folder("engines") / f"sm{capability.replace('.', '')}-{key[:20]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:  # without a cache it is built again next time
        return None
    cache.use(place)
    cache.evict("engines")
    return place


BACKEND = TensorRtBackend(
    name="tensorrt",
    runtime="tensorrt",
    extra="tensorrt",
    provider=TENSORRT,
    ladder=RECIPES,
    stages=(TensorRtRehearsal(),),
)
