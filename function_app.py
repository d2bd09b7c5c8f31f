"""The Azure Functions app: settings → services → blueprints; nothing else."""

import gc
import os

gc.disable()  # what importing makes is no garbage; looking for some takes a tenth of a cold start

from kernel.settings import Settings  # noqa: E402
from triggers.app import create_app  # noqa: E402

app = create_app(Settings.from_environment(os.environ))

gc.freeze()
gc.enable()
