"""What a release leaves behind is read from its SQL files: the last word on a name counts."""

from pathlib import Path

import pytest

from auditlog_project.posture.release import Release, ReleaseError, read_function, read_release

GUARD = """
-- AL001: comments may say CREATE FUNCTION public.comment() or CREATE TRIGGER without making one.
CREATE FUNCTION public.guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'DROP FUNCTION public.guard(); -- $1';
END;
$$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON public.things FOR EACH ROW EXECUTE FUNCTION public.guard();
ALTER TABLE public.things ENABLE ALWAYS TRIGGER keep;
CREATE TABLE public.trigger_function (id int);
"""


def release(directory: Path, **files: str) -> Release:
    for name, text in files.items():
        (directory / f"{name}.sql").write_text(text)
    return read_release([directory, directory / "missing"])


def test_functions_and_triggers_are_read(tmp_path: Path) -> None:
    made = release(tmp_path, a=GUARD)
    assert list(made.functions) == ["guard"]
    function = made.functions["guard"]
    assert function.source.startswith("\nBEGIN\n")
    assert (function.language, function.is_definer) == ("plpgsql", True)
    assert function.settings == ("search_path=pg_catalog, pg_temp",)
    trigger = made.triggers["things", "keep"]
    assert (trigger.fires, trigger.function) == ("before delete or update for each row ()", "guard")
    assert made.always == {("things", "keep")}


def test_a_later_file_replaces_and_drops(tmp_path: Path) -> None:
    changed = "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN END $body$;"
    assert release(tmp_path, a=GUARD, b=changed).functions["guard"].source == " BEGIN END "
    made = release(tmp_path, a=GUARD, c="DROP TRIGGER keep ON public.things; DROP FUNCTION IF EXISTS public.guard();")
    assert made == Release()


def test_reverse_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.reverse.sql").write_text("DROP FUNCTION public.guard();")
    assert list(release(tmp_path, a=GUARD).functions) == ["guard"]


def test_a_function_in_another_form_is_an_error_and_not_a_gap() -> None:
    with pytest.raises(ReleaseError):
        read_function("CREATE FUNCTION public.one() RETURNS int RETURN 1;")
