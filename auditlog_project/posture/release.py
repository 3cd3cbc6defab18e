"""The functions and triggers that this release's migrations leave behind, read from their SQL files. Pure.

    CREATE FUNCTION public.name(arguments) RETURNS … LANGUAGE … [SECURITY DEFINER] SET … AS $$ … $$;
    CREATE [CONSTRAINT] TRIGGER name … ON public.table … EXECUTE FUNCTION public.function(…);
    ALTER TABLE public.table ENABLE ALWAYS TRIGGER name;
    DROP FUNCTION public.name(types);   DROP TRIGGER name ON public.table;

Files count in the order given and by name within a directory; a later statement replaces an earlier one. The same
readers take the server's own pg_get_functiondef() and pg_get_triggerdef(), so that like is compared with like.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_STATEMENT = re.compile(
    r"--[^\n]*"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s.*?\sAS\s+(?P<quote>\$\w*\$).*?(?P=quote)[^;]*"
    r"|(?:CREATE|ALTER|DROP)\s[^;]*",
    re.IGNORECASE | re.DOTALL,
)
_MAKES_FUNCTION = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s", re.IGNORECASE)
_MAKES_TRIGGER = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:CONSTRAINT\s+)?TRIGGER\s", re.IGNORECASE)
_FUNCTION = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?FUNCTION\s+(?:public\.)?(?P<name>\w+)\s*\((?P<arguments>[^)]*)\)"
    r"(?P<header>.*?)\sAS\s+(?P<quote>\$\w*\$)(?P<source>.*?)(?P=quote)",
    re.IGNORECASE | re.DOTALL,
)
_TRIGGER = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?P<constraint>CONSTRAINT\s+)?TRIGGER\s+(?P<name>\w+)\s+"
    r"(?P<timing>BEFORE|AFTER|INSTEAD\s+OF)\s+(?P<events>.+?)\s+ON\s+(?:public\.)?(?P<table>\w+)\s+"
    r"(?P<rest>.*?)EXECUTE\s+FUNCTION\s+(?P<function>[\w.\"]+)\s*\((?P<arguments>[^)]*)\)",
    re.IGNORECASE | re.DOTALL,
)
_ALWAYS = re.compile(r"ALTER\s+TABLE\s+(?:public\.)?(\w+)\s+ENABLE\s+ALWAYS\s+TRIGGER\s+(\w+)", re.IGNORECASE)
_DROP = re.compile(
    r"DROP\s+(?:TRIGGER\s+(?:IF\s+EXISTS\s+)?(?P<trigger>\w+)\s+ON\s+(?:public\.)?(?P<table>\w+)"
    r"|FUNCTION\s+(?:IF\s+EXISTS\s+)?(?:public\.)?(?P<function>\w+))",
    re.IGNORECASE,
)
_CLAUSE = r"(?:SET|LANGUAGE|SECURITY|STABLE|IMMUTABLE|VOLATILE|STRICT|PARALLEL|COST|ROWS|LEAKPROOF)\b"
_SETTING = re.compile(rf"\bSET\s+(\w+)\s*(?:=|\bTO\b)\s*(.+?)(?=\s+{_CLAUSE}|$)", re.IGNORECASE)


class ReleaseError(Exception):
    """A SQL file of this release holds a statement that the posture check cannot read."""


@dataclass(frozen=True, slots=True)
class Function:
    """What must not change in a function: its text, and with whose rights and which names it runs."""

    name: str
    source: str
    language: str
    is_definer: bool
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What must not change in a trigger. `fires` is its definition in normal form, without name and function."""

    table: str
    name: str
    fires: str
    function: str


@dataclass(slots=True)
class Release:
    """Functions by name, triggers by (table, name), and which triggers fire in every replication mode."""

    functions: dict[str, Function] = field(default_factory=dict)
    triggers: dict[tuple[str, str], Trigger] = field(default_factory=dict)
    always: set[tuple[str, str]] = field(default_factory=set)


def read_release(directories: Iterable[Path]) -> Release:
    """Return what the SQL files in these directories make, reverse files aside. Missing directories are empty."""
    release = Release()
    for directory in directories:
        for path in sorted(directory.glob("*.sql")):
            if not path.name.endswith(".reverse.sql"):
                _apply(release, path.read_text())
    return release


def _apply(release: Release, text: str) -> None:
    for statement in (match.group() for match in _STATEMENT.finditer(text)):
        if _MAKES_FUNCTION.match(statement):
            function = read_function(statement)
            release.functions[function.name] = function
        elif _MAKES_TRIGGER.match(statement):
            trigger = read_trigger(statement)
            release.triggers[trigger.table, trigger.name] = trigger
        elif match := _ALWAYS.match(statement):
            release.always.add((match[1], match[2]))
        elif match := _DROP.match(statement):
            release.functions.pop(match["function"], None)
            release.triggers.pop((match["table"], match["trigger"]), None)
            release.always.discard((match["table"], match["trigger"]))


def read_function(statement: str) -> Function:
    """Return the function that a CREATE FUNCTION statement makes. Raises ReleaseError if it is written otherwise."""
    match = _FUNCTION.match(statement)
    if match is None:
        raise ReleaseError(f"Not in the form that the posture check reads: {statement[:80]}")
    header = _spaced(match["header"])
    language = re.search(r"\bLANGUAGE\s+(\w+)", header, re.IGNORECASE)
    return Function(
        name=match["name"],
        source=match["source"],
        language="" if language is None else language[1].lower(),
        is_definer=re.search(r"\bSECURITY\s+DEFINER\b", header, re.IGNORECASE) is not None,
        settings=tuple(sorted(f"{name.lower()}={normal_setting(value)}" for name, value in _SETTING.findall(header))),
    )


def read_trigger(statement: str) -> Trigger:
    """Return the trigger that a CREATE TRIGGER statement makes. Raises ReleaseError if it is written otherwise."""
    match = _TRIGGER.match(statement)
    if match is None:
        raise ReleaseError(f"Not in the form that the posture check reads: {statement[:80]}")
    events = " or ".join(sorted(re.split(r"\s+or\s+", _spaced(match["events"]).lower())))
    parts = (match["constraint"] or "", match["timing"], events, match["rest"], f"({match['arguments']})")
    return Trigger(
        table=match["table"],
        name=match["name"],
        fires=" ".join(_spaced(part).lower() for part in parts if part.strip()),
        function=match["function"].removeprefix("public."),
    )


def normal_setting(value: str) -> str:
    """Return a setting's value as lists are compared: no quotes, one space after a comma."""
    return ", ".join(part.strip(" '\"") for part in value.split(","))


def _spaced(text: str) -> str:
    return " ".join(text.split())
