"""Builds the wheel: one package, `lifecycle`, that contains the others, so that their names cannot clash.

In the checkout, and on Azure Functions, `kernel`, `llmops`, `adapters` and `bootstrap` are packages beside `lifecycle`.
In a wheel
they are `lifecycle.kernel` and so on, and every import is rewritten accordingly. The host's side (`triggers`,
`devhost`) is not part
of the library.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

BESIDE = ("adapters", "bootstrap", "kernel", "llmops")
_IMPORT = re.compile(rf"^(\s*from )({'|'.join(BESIDE)})(?=[. ])", re.MULTILINE)


class BuildInside(build_py):
    """Copies modules, and rewrites their imports for their place in the wheel."""

    def finalize_options(self):
        """Refuse an editable install, whose modules would keep the imports of the checkout."""
        super().finalize_options()
        if self.editable_mode:
            raise SetupError("It has no editable install: put the checkout on PYTHONPATH instead.")

    def build_module(self, module, module_file, package):
        """Copy the module and rewrite the copy."""
        target, copied = super().build_module(module, module_file, package)
        path = Path(target)
        path.write_text(_IMPORT.sub(r"\1lifecycle.\2", path.read_text(encoding="utf-8")), encoding="utf-8")
        return target, copied


def packages():
    """Return each package's name in the wheel with its folder in the checkout."""
    found = {name: name.replace(".", "/") for name in find_packages(include=["lifecycle", "lifecycle.*"])}
    for top in BESIDE:
        found |= {f"lifecycle.{name}": name.replace(".", "/") for name in find_packages(include=[top, f"{top}.*"])}
    return found


setup(
    packages=sorted(packages()),
    package_dir=packages(),
    package_data={"lifecycle": ["py.typed"], "lifecycle.configuration": ["presets/*/*.yaml"]},
    cmdclass={"build_py": BuildInside},
)
