-- AL001: an entry stays, and changes as a whole: by an amendment, whose record is a later leaf and says what it
-- supersedes, by whom and why. What a removal leaves is such a record too, the tombstone; remove_entry alone writes it,
-- for `type` is nobody's to update. AL003: the new record is the leaf that the ledger holds.
CREATE OR REPLACE FUNCTION public.entry_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
    said json;
BEGIN
    IF TG_OP = 'DELETE' THEN
        broken := 'entries stay; a removal leaves a tombstone';
    ELSIF (NEW.id, NEW.ledger_id, NEW.source, NEW.event_id, NEW.recorded_at)
            IS DISTINCT FROM (OLD.id, OLD.ledger_id, OLD.source, OLD.event_id, OLD.recorded_at) THEN
        broken := 'id, ledger, source, event id and time of recording never change';
    ELSIF starts_with(OLD.type, 'auditlog.') THEN
        broken := 'what the application itself recorded is never amended or removed';
    ELSIF NEW.type <> OLD.type AND NEW.type <> 'auditlog.entry.removed' THEN
        broken := 'the type never changes';
    ELSIF NEW.revision <> OLD.revision + 1 OR NEW.leaf_index <= OLD.leaf_index THEN
        broken := 'an amendment is the next revision, at a later leaf';
    ELSIF NEW.signature IS NULL AND (OLD.signature IS NOT NULL OR NEW.type <> OLD.type) THEN
        broken := 'what was signed stays signed, and so is a tombstone';
    ELSE
        -- json refuses to read any member of a text with U+0000 in it; columns show U+2400 in its place, too.
        said := replace(convert_from(NEW.record, 'UTF8'), '\u0000', '\u2400')::json;
        IF (said ->> 'id', said ->> 'revision', said ->> 'type')
                IS DISTINCT FROM (NEW.id::text, NEW.revision::text, NEW.type)
            OR (said #>> '{amendment,supersedes,leaf_index}', said #>> '{amendment,supersedes,leaf_hash}')
                IS DISTINCT FROM (OLD.leaf_index::text, encode(sha256('\x00'::bytea || OLD.record), 'hex'))
            OR coalesce(btrim(said #>> '{amendment,by}'), '') = '' OR coalesce(btrim(said #>> '{amendment,reason}'), '') = '' THEN
            broken := 'the record of an amendment says what it supersedes, by whom and why';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL001: % on % is refused: %', TG_OP, TG_TABLE_NAME, broken
            USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', OLD.id, 'reason', broken)::text;
    END IF;
    IF sha256('\x00'::bytea || NEW.record) IS DISTINCT FROM public.ledger_leaf_hashes(NEW.ledger_id, NEW.leaf_index, 1) THEN
        RAISE EXCEPTION 'AL003: an amended row of % is not the leaf that its ledger holds', TG_TABLE_NAME
            USING ERRCODE = 'AL003', DETAIL = json_build_object('rule', 'AL003', 'table', TG_TABLE_NAME,
                'ledger_id', NEW.ledger_id, 'first_leaf', NEW.leaf_index)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- Archives the version that an amendment or a removal supersedes, whoever made it and however.
CREATE OR REPLACE FUNCTION public.entry_archive() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.activity_logs'::regclass THEN
        RAISE EXCEPTION 'AL001: this trigger serves activity_logs alone' USING ERRCODE = 'AL001';
    END IF;
    INSERT INTO public.activity_revisions (entry_id, ledger_id, leaf_index, leaf_hash, record, detached_data, event_digest,
        signature, key_id, event_id, type, actor, action, target, outcome, severity, source, ip, occurred_at, recorded_at,
        revision, superseded_at)
    VALUES (OLD.id, OLD.ledger_id, OLD.leaf_index, sha256('\x00'::bytea || OLD.record), OLD.record, OLD.detached_data,
        OLD.event_digest, OLD.signature, OLD.key_id, OLD.event_id, OLD.type, OLD.actor, OLD.action, OLD.target, OLD.outcome,
        OLD.severity, OLD.source, OLD.ip, OLD.occurred_at, OLD.recorded_at, OLD.revision, clock_timestamp());
    RETURN NULL;
END;
$$;

-- AL001: the archive takes what was just superseded and keeps it. Its bytes go for good in one step, which a system
-- entry has announced; place, hash, source, event id and digest stay. No serving role may take that step.
CREATE OR REPLACE FUNCTION public.revision_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.purged_by IS NULL AND NEW.leaf_hash = sha256('\x00'::bytea || NEW.record) AND EXISTS (
            SELECT FROM public.activity_logs a WHERE a.id = NEW.entry_id AND a.ledger_id = NEW.ledger_id
            AND a.revision = NEW.revision + 1 AND a.leaf_index > NEW.leaf_index) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.purged_by IS NULL
        AND (NEW.id, NEW.entry_id, NEW.ledger_id, NEW.leaf_index, NEW.leaf_hash, NEW.event_digest, NEW.event_id, NEW.type,
                NEW.outcome, NEW.severity, NEW.source, NEW.occurred_at, NEW.recorded_at, NEW.revision, NEW.superseded_at)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.entry_id, OLD.ledger_id, OLD.leaf_index, OLD.leaf_hash, OLD.event_digest, OLD.event_id, OLD.type,
                OLD.outcome, OLD.severity, OLD.source, OLD.occurred_at, OLD.recorded_at, OLD.revision, OLD.superseded_at)
        AND (NEW.record, NEW.detached_data, NEW.signature, NEW.key_id, NEW.actor, NEW.action, NEW.target, NEW.ip)
            IS NOT DISTINCT FROM (''::bytea, NULL::bytea, NULL::bytea, NULL::varchar, '', '', '', NULL::inet)
        AND EXISTS (SELECT FROM public.activity_logs a WHERE a.id = NEW.purged_by AND a.type = 'auditlog.archive.purged') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL001: % on activity_revisions is refused: the archive keeps what was superseded', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

DROP TRIGGER archived ON public.activity_logs;
CREATE TRIGGER archived AFTER UPDATE ON public.activity_logs
    FOR EACH ROW EXECUTE FUNCTION public.entry_archive();
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER archived;
