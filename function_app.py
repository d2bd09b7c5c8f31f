"""The Azure Functions app: settings → services → blueprints."""

import gc
import os

gc.disable()  # objects created by imports are not garbage; collecting takes a tenth of a cold start

from kernel.settings import Settings  # noqa: E402
from triggers.app import create_app  # noqa: E402

app = create_app(Settings.from_environment(os.environ))

gc.freeze()
gc.enable()
