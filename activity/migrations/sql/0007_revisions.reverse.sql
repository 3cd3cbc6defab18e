DROP TRIGGER in_ledger ON public.activity_revisions;
DROP TRIGGER kept_truncate ON public.activity_revisions;
DROP TRIGGER kept ON public.activity_revisions;
DROP TRIGGER archived ON public.activity_logs;
DROP TRIGGER amended_by_rule ON public.activity_logs;
DROP FUNCTION public.remove_entry(uuid, bigint, bytea, bytea, bytea, text);
DROP FUNCTION public.revision_guard();
DROP FUNCTION public.entry_archive();
DROP FUNCTION public.entry_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.activity_logs
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.activity_revisions RESET (toast_tuple_target);
ALTER TABLE public.activity_revisions ALTER COLUMN record SET STORAGE EXTENDED;
