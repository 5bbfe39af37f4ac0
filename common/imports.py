"""Import of classes whose dotted path is a setting."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from common.errors import UserError

Base = TypeVar("Base")


def import_class(path: str, base: type[Base], setting: str) -> type[Base]:
    """The class ``package.module.Class``, from installed packages or the current folder.

    Importing runs code: pass only paths from the user's own settings, never from a downloaded file.

    Args:
        path: the dotted path.
        base: its required base class.
        setting: the key of the setting, for messages.

    Raises:
        UserError: the module or class does not exist, its import fails, or the class is not a subclass.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise UserError(f"{setting}: {path!r} is not a dotted path such as my_module.MyClass.")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{setting}: there is no module {error.name} for {path}. Put its file in the current folder, or "
                "install it."
            ) from error
        raise UserError(f"{setting}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    imported = getattr(module, name, None)
    if imported is None:
        raise UserError(f"{setting}: the module {module_name} has no class {name}.")
    if not (isinstance(imported, type) and issubclass(imported, base)):
        raise UserError(f"{setting}: {path} is not a subclass of {base.__module__}.{base.__qualname__}.")
    return imported
