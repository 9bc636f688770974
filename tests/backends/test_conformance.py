"""whisperopt's own backends keep to what it asks of everybody's."""

from whisperopt import registry
from whisperopt.testing import BackendConformance

for _name in registry.names():
    globals()[f"Test{_name.title()}"] = type(
        f"Test{_name.title()}", (BackendConformance,), {"backend": registry.require(_name)}
    )
