DROP TRIGGER in_ledger ON public.meta_archives;
DROP TRIGGER by_tombstone ON public.meta_archives;
DROP TRIGGER append_only_truncate ON public.meta_archives;
DROP TRIGGER append_only ON public.meta_archives;
DROP TRIGGER kept ON public.meta_logs;
DROP FUNCTION public.meta_archive_guard();
DROP FUNCTION public.meta_log_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.meta_logs
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
ALTER TABLE public.meta_logs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.meta_archives ALTER COLUMN record SET STORAGE EXTENDED;
