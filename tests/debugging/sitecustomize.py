"""On a test gateway's PYTHONPATH: every logger of every process of it logs at DEBUG, whoever sets another level later.

So the sweep sees what the gateway would write if somebody turned everything on.
"""

from __future__ import annotations

import logging

logging.Logger.isEnabledFor = lambda self, level: True  # type: ignore[method-assign]
logging.Logger.getEffectiveLevel = lambda self: logging.DEBUG  # type: ignore[method-assign]
