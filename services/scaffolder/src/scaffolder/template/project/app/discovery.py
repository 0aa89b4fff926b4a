"""Finds the modules of a package, so that a new file is part of the application without being listed anywhere."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def modules_of(package: ModuleType) -> list[ModuleType]:
    """Import every module of a package, in the order of their names."""
    names = sorted(entry.name for entry in iter_modules(package.__path__))
    return [import_module(f"{package.__name__}.{name}") for name in names]
