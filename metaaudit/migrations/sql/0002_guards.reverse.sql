DROP TRIGGER in_ledger ON public.meta_logs;
DROP TRIGGER append_only_truncate ON public.meta_logs;
DROP TRIGGER append_only ON public.meta_logs;
DROP INDEX public.meta_logs_by_seen;
ALTER TABLE public.meta_logs DROP COLUMN seen;
ALTER TABLE public.meta_logs RESET (toast_tuple_target);
ALTER TABLE public.meta_logs ALTER COLUMN record SET STORAGE EXTENDED;
