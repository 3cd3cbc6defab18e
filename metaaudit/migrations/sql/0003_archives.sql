ALTER TABLE public.meta_archives ALTER COLUMN record SET STORAGE EXTERNAL;

-- AL001: a meta log stays as it is. The owner, whom no serving process is, may remove the rows of leaves that an archive
-- names: their tombstone is a leaf of the same ledger, and a signed export has their records.
CREATE FUNCTION public.meta_log_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE'
        AND current_user = (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = TG_RELID)
        AND EXISTS (SELECT FROM public.meta_archives a WHERE a.ledger_id = OLD.ledger_id
            AND OLD.leaf_index >= a.first_leaf AND OLD.leaf_index < a.end_leaf) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'AL001: % on meta_logs is refused: only archived rows are removed, by the owner', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL001: archives follow one another from the first leaf on, each before its own tombstone, and each of leaves that all
-- have their rows; the tombstone says which leaves, and which key signed it.
CREATE FUNCTION public.meta_archive_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- json refuses to read any member of a text with U+0000 in it.
    said json := replace(convert_from(NEW.record, 'UTF8'), '\u0000', '\u2400')::json;
    broken text;
BEGIN
    IF (said ->> 'id', said ->> 'action', said ->> 'ledger', said #>> '{tombstone,kid}', said #>> '{tombstone,first_leaf}',
            said #>> '{tombstone,end_leaf}')
        IS DISTINCT FROM (NEW.id::text, 'archive', (SELECT l.name::text FROM public.ledgers l WHERE l.id = NEW.ledger_id),
            NEW.key_id::text, NEW.first_leaf::text, NEW.end_leaf::text) THEN
        broken := 'its record is not the tombstone of these leaves';
    ELSIF NEW.first_leaf <> (SELECT coalesce(max(a.end_leaf), 0) FROM public.meta_archives a WHERE a.ledger_id = NEW.ledger_id) THEN
        broken := 'it does not begin where the last archive ends';
    ELSIF NEW.end_leaf <= NEW.first_leaf OR NEW.end_leaf > NEW.leaf_index THEN
        broken := 'it has no leaf, or its own tombstone';
    ELSIF NEW.end_leaf - NEW.first_leaf <> (SELECT count(*) FROM public.meta_logs m WHERE m.ledger_id = NEW.ledger_id
            AND m.leaf_index >= NEW.first_leaf AND m.leaf_index < NEW.end_leaf) THEN
        broken := 'not every one of its leaves has a row';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL001: this archive is refused: %', broken
            USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'reason', broken)::text;
    END IF;
    RETURN NEW;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.meta_log_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.meta_archive_guard() FROM PUBLIC;

DROP TRIGGER append_only ON public.meta_logs;
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON public.meta_logs
    FOR EACH ROW EXECUTE FUNCTION public.meta_log_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.meta_archives
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.meta_archives
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER by_tombstone BEFORE INSERT ON public.meta_archives
    FOR EACH ROW EXECUTE FUNCTION public.meta_archive_guard();
CREATE TRIGGER in_ledger AFTER INSERT ON public.meta_archives REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.in_ledger_guard('meta');

ALTER TABLE public.meta_logs ENABLE ALWAYS TRIGGER kept;
ALTER TABLE public.meta_archives ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.meta_archives ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.meta_archives ENABLE ALWAYS TRIGGER by_tombstone;
ALTER TABLE public.meta_archives ENABLE ALWAYS TRIGGER in_ledger;
