-- AL005: a key is what it was made as, and its life only goes forward: pre-active, active, retired, compromised or
-- destroyed; only that a destroyed key had been stolen may be learned later. The times of the steps are the database's.
-- The private half may be sealed anew; it goes for good only with the key.
CREATE FUNCTION public.signing_key_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.state = 'pre-active' THEN
        NEW.created_at := clock_timestamp();
        NEW.activated_at := NULL;
        NEW.retired_at := NULL;
        NEW.ended_at := NULL;
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE'
        AND (NEW.id, NEW.purpose, NEW.algorithm, NEW.provider, NEW.public_key, NEW.created_at)
            IS NOT DISTINCT FROM (OLD.id, OLD.purpose, OLD.algorithm, OLD.provider, OLD.public_key, OLD.created_at)
        AND (NEW.state = OLD.state OR (OLD.state, NEW.state) IN (
            ('pre-active', 'active'), ('pre-active', 'compromised'), ('pre-active', 'destroyed'), ('active', 'retired'),
            ('active', 'compromised'), ('retired', 'compromised'), ('retired', 'destroyed'), ('compromised', 'destroyed'),
            ('destroyed', 'compromised')))
        AND (NEW.sealed_private_key IS NULL) = (OLD.sealed_private_key IS NULL OR NEW.state = 'destroyed') THEN
        NEW.activated_at := OLD.activated_at;
        NEW.retired_at := OLD.retired_at;
        NEW.ended_at := OLD.ended_at;
        IF NEW.state <> OLD.state THEN
            CASE NEW.state
                WHEN 'active' THEN NEW.activated_at := clock_timestamp();
                WHEN 'retired' THEN NEW.retired_at := clock_timestamp();
                ELSE NEW.ended_at := clock_timestamp();
            END CASE;
        END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL005: % on signing_keys is refused: a key only moves forward in its life', TG_OP
        USING ERRCODE = 'AL005', DETAIL = json_build_object('rule', 'AL005', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL005: a window opens and closes where the ledger stands, under the lock of its head, and never opens again. What a
-- compromised key signed may be distrusted from an ever earlier leaf, never from a later one.
CREATE FUNCTION public.key_window_guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stands_at bigint;
    key_state text;
BEGIN
    IF TG_RELID <> 'public.signing_key_windows'::regclass THEN
        RAISE EXCEPTION 'AL005: this guard serves signing_key_windows alone' USING ERRCODE = 'AL005';
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        SELECT h.size INTO stands_at FROM public.ledger_heads h WHERE h.ledger_id = NEW.ledger_id FOR UPDATE;
        SELECT k.state INTO key_state FROM public.signing_keys k WHERE k.id = NEW.key_id;
        IF TG_OP = 'INSERT' AND key_state = 'active' AND NEW.first_leaf = stands_at
            AND NEW.until_leaf IS NULL AND NEW.untrusted_from_leaf IS NULL THEN
            RETURN NEW;
        END IF;
        IF TG_OP = 'UPDATE'
            AND (NEW.key_id, NEW.ledger_id, NEW.first_leaf) = (OLD.key_id, OLD.ledger_id, OLD.first_leaf)
            AND (NEW.until_leaf IS NOT DISTINCT FROM OLD.until_leaf
                OR (OLD.until_leaf IS NULL AND NEW.until_leaf = stands_at AND key_state <> 'active'))
            AND (NEW.untrusted_from_leaf IS NOT DISTINCT FROM OLD.untrusted_from_leaf
                OR (key_state = 'compromised' AND NEW.untrusted_from_leaf >= 0
                    AND NEW.untrusted_from_leaf < coalesce(OLD.untrusted_from_leaf, stands_at + 1))) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'AL005: % on signing_key_windows is refused: a window opens and closes once, where its ledger stands', TG_OP
        USING ERRCODE = 'AL005', DETAIL = json_build_object('rule', 'AL005', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL005: an algorithm that has had an active entry key has exactly one when a transaction ends; the unique index sees
-- to "at most one", this to "at least one".
CREATE FUNCTION public.entry_key_slot_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state = 'active' AND OLD.purpose = 'entry' AND NOT EXISTS (
        SELECT FROM public.signing_keys k
        WHERE k.purpose = 'entry' AND k.algorithm = OLD.algorithm AND k.state = 'active') THEN
        RAISE EXCEPTION 'AL005: algorithm % would be left without an active entry key', OLD.algorithm
            USING ERRCODE = 'AL005', DETAIL = json_build_object('rule', 'AL005', 'table', TG_TABLE_NAME,
                'algorithm', OLD.algorithm)::text;
    END IF;
    RETURN NULL;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.signing_key_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.key_window_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.entry_key_slot_guard() FROM PUBLIC;

CREATE TRIGGER life_cycle BEFORE INSERT OR UPDATE OR DELETE ON public.signing_keys
    FOR EACH ROW EXECUTE FUNCTION public.signing_key_guard();
CREATE TRIGGER life_cycle_truncate BEFORE TRUNCATE ON public.signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE CONSTRAINT TRIGGER one_active_entry_key AFTER UPDATE ON public.signing_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.entry_key_slot_guard();
CREATE TRIGGER window_steps BEFORE INSERT OR UPDATE OR DELETE ON public.signing_key_windows
    FOR EACH ROW EXECUTE FUNCTION public.key_window_guard();
CREATE TRIGGER window_steps_truncate BEFORE TRUNCATE ON public.signing_key_windows
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.key_events
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.key_events
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER in_ledger AFTER INSERT ON public.key_events REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.in_ledger_guard('keys');

ALTER TABLE public.signing_keys ENABLE ALWAYS TRIGGER life_cycle;
ALTER TABLE public.signing_keys ENABLE ALWAYS TRIGGER life_cycle_truncate;
ALTER TABLE public.signing_keys ENABLE ALWAYS TRIGGER one_active_entry_key;
ALTER TABLE public.signing_key_windows ENABLE ALWAYS TRIGGER window_steps;
ALTER TABLE public.signing_key_windows ENABLE ALWAYS TRIGGER window_steps_truncate;
ALTER TABLE public.key_events ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.key_events ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.key_events ENABLE ALWAYS TRIGGER in_ledger;
