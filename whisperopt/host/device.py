"""Which of a host's devices somebody asks for, and whether a runtime can be told to take it."""

from whisperopt.host import Gpu, Host
from whisperopt.reasons import Reason, because

CPU, ANY_GPU = "cpu", "gpu"


def adapters(host: Host, asked: str | None) -> tuple[Gpu, ...] | Reason:
    """Return the adapters that `asked` leaves, or the reason why it leaves nothing.

    | asked | left |
    |---|---|
    | None, `gpu` | all |
    | `cpu` | none |
    | a UUID, LUID or PCI address | the adapter that is called so |
    """
    if asked is None:
        return host.gpus
    wanted = asked.lower()
    if wanted == CPU:
        return ()
    if wanted == ANY_GPU:
        return host.gpus or because("device.no-gpu")
    found = [gpu for gpu in host.gpus if wanted in map(str.lower, gpu.identities)]
    known = ", ".join(map(str, host.gpus)) or because("device.none")
    return tuple(found[:1]) or because("device.unknown", asked, known=str(known))


def is_one(asked: str | None) -> bool:
    """Say whether `asked` names one adapter."""
    return asked is not None and asked.lower() not in {CPU, ANY_GPU}


def serves(device: str, asked: str | None) -> bool:
    """Say whether what runs on `device` is among what is `asked` for."""
    return asked is None or (device == CPU) == (asked.lower() == CPU)


def is_nameable(host: Host, device: str, gpu: Gpu) -> bool:
    """Say whether the runtimes of `device` can be told to take `gpu` of all that serve it.

    CUDA counts UUIDs, and takes the best one by itself; DirectML counts LUIDs. WebGPU only hears
    whether the adapter shall have memory of its own.
    """
    best, *_ = served = host.gpus_for(device)
    rivals = [other for other in served if other != gpu]
    if device == "nvidia":
        return gpu == best or bool(gpu.uuid)
    if device == "d3d12":
        return not rivals or bool(gpu.luid)
    return all(rival.discrete is not gpu.discrete for rival in rivals)
