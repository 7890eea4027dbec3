"""What `mitmdump -s` loads. Everything else is in the package `litellm_hybrid`."""

import logging
import sys

try:
    from litellm_hybrid.addon import HybridAddon

    addons = [HybridAddon()]
except ModuleNotFoundError as e:
    # One line and the end at once: without the addon mitmproxy would let every request through.
    package = {"litellm_hybrid": "litellm-hybrid", "yaml": "PyYAML"}.get(e.name or "", e.name)
    logging.getLogger(__name__).error(  # noqa: TRY400
        "litellm-hybrid: the module %s is missing in %s; install it there: pipx inject mitmproxy %s",
        e.name,
        sys.executable,
        package,
    )
    raise SystemExit(1) from None
