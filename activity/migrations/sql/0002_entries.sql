-- Records are hashed, not searched, and read whole: kept as they are up to a page, without compressing them.
ALTER TABLE public.activity_logs ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE public.activity_logs SET (toast_tuple_target = 8160);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.activity_logs
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.activity_logs
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER in_ledger AFTER INSERT ON public.activity_logs REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.in_ledger_guard('activity');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.verification_runs
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.verification_runs
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();

ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER in_ledger;
ALTER TABLE public.verification_runs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.verification_runs ENABLE ALWAYS TRIGGER append_only_truncate;
