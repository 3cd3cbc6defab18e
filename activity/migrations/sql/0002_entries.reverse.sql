DROP TRIGGER append_only_truncate ON public.verification_runs;
DROP TRIGGER append_only ON public.verification_runs;
DROP TRIGGER in_ledger ON public.activity_logs;
DROP TRIGGER append_only_truncate ON public.activity_logs;
DROP TRIGGER append_only ON public.activity_logs;
ALTER TABLE public.activity_logs RESET (toast_tuple_target);
ALTER TABLE public.activity_logs ALTER COLUMN record SET STORAGE EXTENDED;
