-- AL005: an export certificate belongs to one key and one person for ever; it is set once and revoked once, and the time
-- of that is the database's. A key that signs the log can have none, and a stranger's key cannot be given to a person
-- later: the row is written while the key waits.
CREATE FUNCTION public.export_certificate_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.certificate IS NULL AND NEW.revoked_at IS NULL AND EXISTS (
        SELECT FROM public.signing_keys k
        WHERE k.id = NEW.key_id AND k.purpose IN ('export', 'ca') AND k.state = 'pre-active') THEN
        NEW.created_at := clock_timestamp();
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
        AND (NEW.key_id, NEW.person, NEW.created_at) = (OLD.key_id, OLD.person, OLD.created_at)
        AND (OLD.certificate IS NULL
            OR (NEW.certificate, NEW.chain) IS NOT DISTINCT FROM (OLD.certificate, OLD.chain))
        AND OLD.revoked_at IS NULL THEN
        IF NEW.revoked_at IS NOT NULL THEN
            NEW.revoked_at := clock_timestamp();
        END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL005: % on export_certificates is refused: a certificate is set once and revoked once', TG_OP
        USING ERRCODE = 'AL005', DETAIL = json_build_object('rule', 'AL005', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.export_certificate_guard() FROM PUBLIC;

CREATE TRIGGER certificate_steps BEFORE INSERT OR UPDATE OR DELETE ON public.export_certificates
    FOR EACH ROW EXECUTE FUNCTION public.export_certificate_guard();
CREATE TRIGGER certificate_steps_truncate BEFORE TRUNCATE ON public.export_certificates
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();

ALTER TABLE public.export_certificates ENABLE ALWAYS TRIGGER certificate_steps;
ALTER TABLE public.export_certificates ENABLE ALWAYS TRIGGER certificate_steps_truncate;
