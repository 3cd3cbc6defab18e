"""The shape of services: keyword-only arguments, so that a call reads as a sentence and none is mixed up."""

import importlib
import inspect

import pytest

# The one thing that is recorded stands first, without its name; all else is named.
POSITIONAL = {"event", "events", "report"}


@pytest.mark.parametrize("app", ["activity", "locking", "metaaudit", "signing"])
def test_services_take_named_arguments(app: str) -> None:
    module = importlib.import_module(f"{app}.services")
    functions = [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert functions
    unnamed = [
        f"{function.__name__}({parameter.name})"
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY and parameter.name not in POSITIONAL
    ]
    assert unnamed == []
