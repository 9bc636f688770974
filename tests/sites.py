"""A folder of installed distributions, some of which bring backends that misbehave."""

import sys
from pathlib import Path

from whisperopt import registry
from whisperopt.host.distributions import GROUP

NOTHING = "pass"
RAISE = "raise OSError('libsad.so.3: cannot open shared object')"
ABORT = "import os; os.abort()"
HANG = "import time; time.sleep(600)"
LEAVE = "raise SystemExit(0)"

_BACKEND = """
import sys

{at_import}


class Decoder:
    past = 0

    def reset(self):
        self.past = 0

    def hidden_states(self):
        import numpy as np
        return np.zeros((1, 8, 8), np.float32)

    def step(self, ids):
        {at_step}
        import numpy as np
        self.past += ids.shape[1]
        return np.zeros((ids.shape[0], ids.shape[1], {vocabulary}), np.float32)


class Session:
    max_batch = None
    placement = {{}}

    def encode(self, features):
        return Decoder()


class Backend:
    api = 1
    name = {name!r}
    runtime = {runtime!r}
    extra = {name!r}

    def probe(self):
        sys.stdout.write("the runtime says hello\\n")
        {at_probe}
        from whisperopt.backend import Probe
        return Probe(runtime=self.runtime, version="1.0")

    def recipes(self):
        return ()

    def capabilities(self):
        raise NotImplementedError

    def rehearsals(self):
        {at_rehearsals}
        return ()

    def build(self, recipe, core, out):
        raise NotImplementedError

    def open(self, artifact, *, threads=None):
        {at_open}
        return Session()


BACKEND = Backend()
"""


class Site:
    """Installs into one folder; that it is on the path is its owner's business."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def distribution(self, name: str, version: str, more: str = "") -> Path:
        """Install a distribution without any file; return where its metadata lies."""
        metadata = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}", "utf-8"
        )
        registry.forget()
        return metadata

    def backend(self, distribution: str, name: str, module: str) -> None:
        """Install `distribution` with a backend called `name`, `module` being its source."""
        stem = distribution.replace("-", "_")
        metadata = self.distribution(distribution, "1.0")
        (metadata / "entry_points.txt").write_text(
            f"[{GROUP}]\n{name} = {stem}:BACKEND\n", "utf-8"
        )
        sys.modules.pop(stem, None)  # that of an earlier test
        (self.folder / f"{stem}.py").write_text(module, "utf-8")


def source(name: str, *, runtime: str = "", vocabulary: int = 8, **deeds: str) -> str:
    """Return a backend that does one of the deeds above `at_import`, `at_probe`, `at_open`, …."""
    moments = ("at_import", "at_probe", "at_rehearsals", "at_open", "at_step")
    return _BACKEND.format(
        name=name,
        runtime=runtime or f"{name}-chip",
        vocabulary=vocabulary,
        **{moment: deeds.get(moment, NOTHING) for moment in moments},
    )
