"""Errors: one family an app, names that end in Error, and every SQLSTATE of ours explained."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

from activity.errors import ActivityError
from exports.errors import ExportError
from locking.errors import LockingError
from metaaudit.errors import MetaauditError
from signing.errors import SigningError

PROJECT = Path(__file__).resolve().parents[2]
FAMILIES = {
    "activity": ActivityError,
    "exports": ExportError,
    "locking": LockingError,
    "metaaudit": MetaauditError,
    "signing": SigningError,
}


def errors_of(app: str) -> list[type[Exception]]:
    package = importlib.import_module(app)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{app}.")]
    modules = [importlib.import_module(name) for name in names if ".migrations" not in name]
    classes = [member for module in modules for member in vars(module).values() if inspect.isclass(member)]
    return [each for each in classes if issubclass(each, Exception) and each.__module__.startswith(f"{app}.")]


@pytest.mark.parametrize("app", FAMILIES)
def test_every_error_says_so_in_its_name(app: str) -> None:
    errors = errors_of(app)
    assert errors
    assert [error.__name__ for error in errors if not error.__name__.endswith("Error")] == []


@pytest.mark.parametrize("app", FAMILIES)
def test_every_error_that_leaves_a_module_is_of_the_family(app: str) -> None:
    public = [error for error in errors_of(app) if not error.__name__.startswith("_")]
    strangers = {error.__name__ for error in public} - {error.__name__ for error in _family(FAMILIES[app])}
    assert strangers == set()


def _family(base: type[Exception]) -> list[type[Exception]]:
    return [base, *(each for child in base.__subclasses__() for each in _family(child))]


def test_every_sqlstate_is_explained() -> None:
    raised = {
        state
        for path in PROJECT.glob("*/migrations/sql/*.sql")
        for state in re.findall(r"ERRCODE = '(\w{5})'", path.read_text(encoding="utf-8"))
    }
    assert {"AL001", "AL002", "AL003", "AL004", "AL005", "AL006"} <= raised
    architecture = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(AL\d{3})` \|", architecture, re.MULTILINE))
    assert raised <= explained
