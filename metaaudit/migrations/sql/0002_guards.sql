-- Records are hashed, not searched, and read whole: kept as they are up to a page, without compressing them.
ALTER TABLE public.meta_logs ALTER COLUMN record SET STORAGE EXTERNAL;
ALTER TABLE public.meta_logs SET (toast_tuple_target = 8160);

-- Which leaves were shown, as (ledger id << 48) + leaf index; NULL: none, or too scattered to be listed.
ALTER TABLE public.meta_logs ADD COLUMN seen int8multirange;
CREATE INDEX meta_logs_by_seen ON public.meta_logs USING gist (seen) WHERE seen IS NOT NULL;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.meta_logs
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.meta_logs
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER in_ledger AFTER INSERT ON public.meta_logs REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.in_ledger_guard('meta');

ALTER TABLE public.meta_logs ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.meta_logs ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.meta_logs ENABLE ALWAYS TRIGGER in_ledger;
