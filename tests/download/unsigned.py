"""Fetching from build folders behind a server, which nobody signs: their users say so."""

import functools

from whisperopt import download
from whisperopt.trust.client import Trust

UNSIGNED = Trust(unsigned=True)
fetch = functools.partial(download.fetch, trust=UNSIGNED)
explain = functools.partial(download.explain, trust=UNSIGNED)
