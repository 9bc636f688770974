"""Which execution provider of ONNX Runtime a backend means, and how a session is told so."""

import contextlib
import functools
import io
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Literal

import msgspec

from whisperopt.backend import Probe
from whisperopt.errors import WhisperoptError
from whisperopt.host import distributions
from whisperopt.reasons import Reason, because

if TYPE_CHECKING:
    import onnxruntime as ort

_NO_CPU = "session.disable_cpu_ep_fallback"
_NEG = bytes.fromhex(
    "08083a320a0b0a017812017922034e65671201705a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a02080142040a00100d"
)
"""Neg(x) for x float32 [1], opset 13, as `onnx.helper` writes it."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One execution provider and where its memory is."""

    name: str
    device: str
    options: Mapping[str, str] = {}
    sequential: bool = False
    """Whether the provider wants sequential execution and no memory pattern."""
    library: str = ""
    """The Python module that holds the provider, if that is a plug-in and not built in."""
    preload: tuple[str, ...] = ()
    """Python modules that load the libraries which the provider links, when they are installed."""
    exclusive: bool = False
    """Whether a node that the provider refuses is an error instead of the CPU's work."""
    chunked_prefill: Literal["any", "one", "none"] = "one"
    """Batches for which GroupQueryAttention takes several tokens behind a past."""
    max_batch: int | None = None
    """The largest batch that is computed correctly; None means any."""
    allocates: bool = True
    """Whether Python can ask for the device's memory; else only what ran there lies there."""
    mover: str = ""
    """The provider that reorders batches in the same memory, if this one would compile for it."""


def apply(provider: Provider, options: "ort.SessionOptions") -> list[tuple[str, dict[str, str]]]:
    """Write to `options` what `provider` wants; return the `providers` of `InferenceSession`.

    A plug-in is registered first. Raises `WhisperoptError` if it does not load or has no device.
    """
    if provider.sequential:
        import onnxruntime as ort

        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if provider.exclusive:
        options.add_session_config_entry(_NO_CPU, "1")
    _preload(provider)
    if not provider.library:
        return [(provider.name, dict(provider.options))]
    options.add_provider_for_devices([_plugged_in(provider)], dict(provider.options))
    return []


def probe(provider: Provider, runtime: str, extra: str) -> Probe:
    """Say whether `provider` loads in this process; a bad driver may end the process.

    A provider that lists itself but does not load is a reason, never a silent fall to the CPU.
    """
    from whisperopt.runtime import libraries

    found = distributions.installed()
    wheels = [name for name in found if distributions.overwrites(name)]
    remedy = f"pip install 'whisperopt[{extra}]'"
    reason = why_not(provider) if wheels else because("provider.no-runtime")
    if reason and len(wheels) > 1:
        reason = because("provider.overwritten", wheels=" and ".join(wheels))
        remedy = f"pip uninstall -y {' '.join(wheels)} && {remedy}"
    elif reason and wheels and (lacking := libraries.lacking(provider)):
        reason = because("provider.library-missing", provider.name, library=lacking)
        remedy = libraries.remedy(lacking, wheels)
    cudnn = None if reason else libraries.without_cudnn(provider)
    return Probe(
        runtime=runtime,
        version=next((found[name] for name in (runtime, *wheels) if name in found), None),
        reason=str(reason) if reason else None,
        remedy=remedy if reason else "",
        facts={libraries.CUDNN: str(because("provider.no-cudnn", cudnn))} if cudnn else {},
    )


def why_not(provider: Provider) -> Reason | None:
    """Return why `provider` does not load in this process, or None if it does.

    It opens a one-node graph: a provider may list itself and still not load.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        return because("provider.no-import", why=str(error))
    if not provider.library and provider.name not in ort.get_available_providers():
        return because("provider.not-built-in", provider.name, version=ort.__version__)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        providers = apply(provider, options)
        session = ort.InferenceSession(_NEG, options, providers=providers, enable_fallback=0)
    except WhisperoptError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        return because("provider.not-loaded", provider.name, why=str(error).splitlines()[0])
    if session.get_providers()[0] != provider.name:
        return because("provider.only-listed", provider.name)
    return None


def _preload(provider: Provider) -> None:
    """Load the libraries of NVIDIA's wheels, which the loader does not search for by itself.

    What is not there may lie where the system looks, so nothing is said about it.
    """
    import onnxruntime as ort

    with contextlib.redirect_stdout(io.StringIO()):
        if provider.device == "cuda" and not provider.library:
            ort.preload_dlls()
        for module in provider.preload:
            with contextlib.suppress(ImportError, OSError):
                import_module(module)


def _plugged_in(provider: Provider) -> "ort.OrtEpDevice":
    import onnxruntime as ort

    try:
        _register(provider.library, provider.name)
    except ModuleNotFoundError:
        raise WhisperoptError(because("provider.no-plug-in", provider.library)) from None
    except Exception as error:  # noqa: BLE001  # the runtime's exceptions have no common class
        lines = str(error).strip().splitlines() or [type(error).__name__]
        cause = lines[0].rpartition(" with error: ")[2]
        raise WhisperoptError(
            because("provider.plug-in-not-loaded", provider.library, why=cause)
        ) from None
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider.name]
    if not devices:
        raise WhisperoptError(because("provider.plug-in-idle", provider.library))
    return devices[0]


@functools.cache
def _register(library: str, name: str) -> None:
    """Hand a plug-in to ONNX Runtime, which takes each only once."""
    import onnxruntime as ort

    ort.register_execution_provider_library(name, import_module(library).get_library_path())
