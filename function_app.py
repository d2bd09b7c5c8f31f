"""The Azure Functions app: settings → services → blueprints; nothing else."""

import os

from kernel.settings import Settings
from triggers.app import create_app

app = create_app(Settings.from_environment(os.environ))
