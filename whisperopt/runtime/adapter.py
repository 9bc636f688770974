"""How a provider of ONNX Runtime is told which of several graphics adapters to take."""

import msgspec

from whisperopt import host as hosts
from whisperopt.errors import WhisperoptError
from whisperopt.host import Gpu, ordinals
from whisperopt.reasons import because
from whisperopt.runtime.provider import Provider

SERVES = {"cuda": "nvidia", "dml": "d3d12", "webgpu": "gpu"}
"""What a provider's memory tells of the devices that it serves."""
_POWER = "ep.webgpuexecutionprovider.powerPreference"


def told(provider: Provider, wanted: Gpu | None) -> Provider:
    """Return `provider` told to take `wanted`, by default the best adapter that this machine has.

    | memory | told |
    |---|---|
    | `cuda` | the place of its UUID in the order of CUDA |
    | `dml` | the place of its LUID in that of DXGI; Python itself allocates on the first only |
    | `webgpu` | whether it has memory of its own |

    Nothing is told where there is one adapter, or where that has no such name. Raises
    `WhisperoptError` if the runtime counts no adapter of that name.
    """
    known = hosts.probe().gpus_for(SERVES.get(provider.device, ""))
    if len(known) < 2:
        return provider
    gpu = wanted or known[0]
    if provider.device == "webgpu":
        power = "high-performance" if gpu.discrete else "low-power"
        return msgspec.structs.replace(provider, adapter={_POWER: power})
    on_cuda = provider.device == "cuda"
    name = gpu.uuid if on_cuda else gpu.luid
    counted = ordinals.cuda() if on_cuda else [luid for _, luid in ordinals.dxgi()]
    if not name:
        return provider
    if name not in counted:
        raise WhisperoptError(because("provider.adapter", gpu))
    place = counted.index(name)
    return msgspec.structs.replace(
        provider,
        adapter={"device_id": str(place)},
        allocates=provider.allocates and (on_cuda or place == 0),
    )
