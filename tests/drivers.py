"""Stands in for what drivers and systems say about graphics adapters."""

from types import SimpleNamespace
from typing import Any, Self


class FakeNvml:
    """A driver with as many devices as compute capabilities; None means that it fails."""

    class NVMLError(Exception):
        """What the real one raises."""

    def __init__(
        self, *capabilities: tuple[int, int] | None, driver: bool = True, silent: str = ""
    ) -> None:
        self.capabilities, self.driver, self.open = capabilities, driver, 0
        self.silent = silent

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's name
        if not self.driver:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetCount": lambda: len(self.capabilities),
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetCudaComputeCapability": self._capability,
            "nvmlDeviceGetName": lambda index: f"GPU {index}",
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=8 * 2**30),
            "nvmlDeviceGetUUID": lambda index: f"GPU-0000000{index}",
            "nvmlSystemGetDriverVersion": lambda: "580.10",
        }
        return self._refuse if name == self.silent else answers[name]

    def _refuse(self, *_: object) -> None:
        raise self.NVMLError

    def _capability(self, index: int) -> tuple[int, int]:
        found = self.capabilities[index]
        if found is None:
            raise self.NVMLError
        return found


class FakeRegistry:
    """The display class of a Windows registry; a key without values is one that fails to open."""

    HKEY_LOCAL_MACHINE = object()

    class _Key:
        def __init__(self, values: dict[str, Any]) -> None:
            self.values = values

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    def __init__(self, adapters: dict[str, dict[str, Any]]) -> None:
        self.adapters = adapters

    def OpenKey(self, _parent: object, path: str) -> _Key:  # noqa: N802  # winreg's name
        if path not in self.adapters:
            return self._Key({})
        if not self.adapters[path]:
            raise PermissionError
        return self._Key(self.adapters[path])

    def QueryInfoKey(self, _key: _Key) -> tuple[int, int, int]:  # noqa: N802
        return len(self.adapters), 0, 0

    def EnumKey(self, _key: _Key, index: int) -> str:  # noqa: N802
        return list(self.adapters)[index]

    def QueryValueEx(self, key: _Key, name: str) -> tuple[Any, int]:  # noqa: N802
        if name not in key.values:
            raise FileNotFoundError
        return key.values[name], 1
