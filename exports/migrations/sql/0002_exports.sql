-- AL001: what was exported, by whom, of what and why never changes; a state only goes forward, and what came out stands.
CREATE FUNCTION public.export_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        broken := 'exports stay, for the ledger names them';
    ELSIF (NEW.id, NEW.ordered_by, NEW.ordered_by_id, NEW.ordered_at, NEW.ledger_id, NEW.filters, NEW.formats, NEW.purpose,
            NEW."case", NEW.checkpoint, NEW.size, NEW.first_leaf, NEW.end_leaf, NEW.is_complete)
            IS DISTINCT FROM (OLD.id, OLD.ordered_by, OLD.ordered_by_id, OLD.ordered_at, OLD.ledger_id, OLD.filters,
            OLD.formats, OLD.purpose, OLD."case", OLD.checkpoint, OLD.size, OLD.first_leaf, OLD.end_leaf, OLD.is_complete) THEN
        broken := 'what was ordered never changes';
    ELSIF OLD.state IN ('ready', 'expired') AND (NEW.finished_at, NEW.entries, NEW.verdicts, NEW.dataset_digest,
            NEW.signer_certificate_sha256, NEW.file_size, NEW.file_sha256)
            IS DISTINCT FROM (OLD.finished_at, OLD.entries, OLD.verdicts, OLD.dataset_digest,
            OLD.signer_certificate_sha256, OLD.file_size, OLD.file_sha256) THEN
        broken := 'what came out never changes';
    ELSIF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (('waiting', 'running'), ('waiting', 'cancelled'),
            ('waiting', 'failed'), ('running', 'ready'), ('running', 'failed'), ('running', 'cancelled'), ('ready', 'expired')) THEN
        broken := format('%s does not become %s', OLD.state, NEW.state);
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL001: % on % is refused: %', TG_OP, TG_TABLE_NAME, broken
            USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'reason', broken)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- AL001: a part is a range of leaves of its export, and done once.
CREATE FUNCTION public.export_part_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.done_at IS NULL AND (NEW.id, NEW.export_id, NEW.number, NEW.first_leaf, NEW.end_leaf)
            IS NOT DISTINCT FROM (OLD.id, OLD.export_id, OLD.number, OLD.first_leaf, OLD.end_leaf) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL001: % on % is refused: a part is made once', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.export_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.export_part_guard() FROM PUBLIC;

CREATE TRIGGER facts_stay BEFORE UPDATE OR DELETE ON public.exports
    FOR EACH ROW EXECUTE FUNCTION public.export_guard();
CREATE TRIGGER facts_stay_truncate BEFORE TRUNCATE ON public.exports
    FOR EACH STATEMENT EXECUTE FUNCTION public.export_guard();
CREATE TRIGGER made_once BEFORE UPDATE OR DELETE ON public.export_parts
    FOR EACH ROW EXECUTE FUNCTION public.export_part_guard();
CREATE TRIGGER made_once_truncate BEFORE TRUNCATE ON public.export_parts
    FOR EACH STATEMENT EXECUTE FUNCTION public.export_part_guard();

ALTER TABLE public.exports ENABLE ALWAYS TRIGGER facts_stay;
ALTER TABLE public.exports ENABLE ALWAYS TRIGGER facts_stay_truncate;
ALTER TABLE public.export_parts ENABLE ALWAYS TRIGGER made_once;
ALTER TABLE public.export_parts ENABLE ALWAYS TRIGGER made_once_truncate;
