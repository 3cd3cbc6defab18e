DROP TRIGGER lock_state ON public.activity_logs;
CREATE TRIGGER lock_state BEFORE UPDATE ON public.activity_logs FOR EACH ROW
    WHEN (((old.locked IS DISTINCT FROM new.locked) OR (old.held_by IS DISTINCT FROM new.held_by) OR (old.hold_count IS DISTINCT FROM new.hold_count) OR (old.governance_until IS DISTINCT FROM new.governance_until) OR (old.compliance_until IS DISTINCT FROM new.compliance_until) OR (old.locks_at IS DISTINCT FROM new.locks_at) OR (old.override_id IS DISTINCT FROM new.override_id) OR (old.override_until IS DISTINCT FROM new.override_until)))
    EXECUTE FUNCTION public.entry_lock_state();
DROP TRIGGER born_unlocked ON public.activity_logs;
CREATE TRIGGER born_unlocked AFTER INSERT ON public.activity_logs FOR EACH ROW
    WHEN ((new.locked OR (new.locks_at IS NOT NULL) OR (new.override_id IS NOT NULL))) EXECUTE FUNCTION public.entry_lock_state();
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER lock_state;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER born_unlocked;

-- When the policies of time that are enabled lock an entry; NULL if none does.
CREATE OR REPLACE FUNCTION public.lock_due_at(entry public.activity_logs) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(public.lock_deadline(p.rule, entry.recorded_at)) FROM public.lock_policies p
    WHERE p.enabled AND p.ledger_id = entry.ledger_id AND p.rule ->> 'kind' IN ('age', 'period')
      AND public.lock_matches(p.scope, entry)
$$;

-- AL006: what stands on an entry about its locks follows from its locks, its deadline from the policies, and an override
-- is one that was approved for this very entry. A new lock ends a running override.
-- A lock that comes on top of what the row says makes it stronger and nothing else, so that its own row is all there is to
-- read; everything else is computed anew from all its locks. The first is what locking a million entries consists of.
CREATE OR REPLACE FUNCTION public.entry_lock_state() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
    holding bigint[];
    held integer := coalesce(cardinality(NEW.held_by), 0);
    added bigint;
    added_kind text;
    added_until timestamptz;
BEGIN
    IF TG_RELID <> 'public.activity_logs'::regclass THEN
        RAISE EXCEPTION 'AL006: this trigger serves activity_logs alone' USING ERRCODE = 'AL006';
    END IF;
    IF TG_OP = 'INSERT' THEN
        broken := 'an entry is recorded without locks';
    ELSE
        added := NEW.held_by[held];
        IF NEW.held_by = array_append(OLD.held_by, added) AND (held = 1 OR added > NEW.held_by[held - 1])
            AND (NEW.locked, NEW.hold_count, NEW.governance_until, NEW.compliance_until, NEW.locks_at, NEW.override_id, NEW.override_until)
                IS NOT DISTINCT FROM
                (OLD.locked, OLD.hold_count, OLD.governance_until, OLD.compliance_until, OLD.locks_at, OLD.override_id, OLD.override_until) THEN
            SELECT h.kind, coalesce(h.until, '9999-12-31 23:59:59.999999Z') INTO added_kind, added_until FROM public.log_locks h
                WHERE h.id = added AND h.ledger_id = NEW.ledger_id AND h.state IN ('applying', 'in_force');
            IF FOUND THEN
                NEW.locked := true;
                NEW.override_id := NULL;
                NEW.override_until := NULL;
                IF added_kind = 'hold' THEN
                    NEW.hold_count := NEW.hold_count + 1;
                ELSIF added_kind = 'governance' THEN
                    NEW.governance_until := greatest(NEW.governance_until, added_until);
                ELSE
                    NEW.compliance_until := greatest(NEW.compliance_until, added_until);
                END IF;
                RETURN NEW;
            END IF;
        END IF;
        IF NEW.held_by IS NOT DISTINCT FROM OLD.held_by THEN
            IF (NEW.locked, NEW.hold_count, NEW.governance_until, NEW.compliance_until)
                IS DISTINCT FROM (OLD.locked, OLD.hold_count, OLD.governance_until, OLD.compliance_until)
                AND OLD.held_by IS NULL THEN
                broken := 'an entry is locked by its locks alone';
            END IF;
        ELSE
            IF NOT coalesce(OLD.held_by, '{}') <@ coalesce(NEW.held_by, '{}') AND EXISTS (
                    SELECT FROM unnest(OLD.held_by) gone (id) JOIN public.log_locks l ON l.id = gone.id
                    WHERE l.state IN ('applying', 'in_force') AND gone.id <> ALL (coalesce(NEW.held_by, '{}'))) THEN
                broken := 'a lock that is in force keeps its entries';
            END IF;
            IF NOT coalesce(NEW.held_by, '{}') <@ coalesce(OLD.held_by, '{}') THEN
                NEW.override_id := NULL;
                NEW.override_until := NULL;
            END IF;
        END IF;
        SELECT array_agg(h.id ORDER BY h.id), count(*) FILTER (WHERE h.kind = 'hold'),
                max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'governance'),
                max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'compliance')
            INTO holding, NEW.hold_count, NEW.governance_until, NEW.compliance_until
            FROM public.log_locks h WHERE h.id = ANY (NEW.held_by) AND h.ledger_id = NEW.ledger_id
                AND h.state IN ('applying', 'in_force');
        NEW.held_by := holding;
        NEW.locked := holding IS NOT NULL;
        IF NEW.locks_at IS DISTINCT FROM OLD.locks_at THEN
            NEW.locks_at := public.lock_due_at(NEW);
        END IF;
        IF NEW.override_id IS NOT NULL AND (NEW.override_id, NEW.override_until) IS DISTINCT FROM (OLD.override_id, OLD.override_until)
            AND NOT EXISTS (SELECT FROM public.lock_overrides o WHERE o.id = NEW.override_id AND o.state = 'approved'
                AND o.runs_until = NEW.override_until AND NEW.id = ANY (o.entries)) THEN
            broken := 'the override was not approved for this entry';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL006: % on % is refused: %', TG_OP, TG_TABLE_NAME, broken
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', NEW.id, 'reason', broken)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- AL002: a locked entry changes only under an override that is running; under compliance it does not change at all.
-- Whether it is locked is read from its own row, for a lock that is made meanwhile changes that row: a lock's own row
-- would be invisible to an old snapshot. Time is the clock's, for now() stands still in an old transaction. Only what a
-- policy of time has not come to yet is judged by the policy, and so is whether that means compliance, which the override
-- of another lock does not lift. It is asked first (triggers fire in the order of their names), so that whoever tries what
-- is refused of any entry hears that this one is locked.
CREATE OR REPLACE FUNCTION public.entry_lock_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_moment timestamptz := clock_timestamp();
    why text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.leaf_index, NEW.revision) = (OLD.leaf_index, OLD.revision)
        AND (NEW.locked, NEW.held_by, NEW.hold_count, NEW.governance_until, NEW.compliance_until, NEW.locks_at, NEW.override_id,
            NEW.override_until) IS DISTINCT FROM (OLD.locked, OLD.held_by, OLD.hold_count, OLD.governance_until,
            OLD.compliance_until, OLD.locks_at, OLD.override_id, OLD.override_until) THEN
        RETURN NEW;  -- of these columns the trigger of the state of locks is in charge
    END IF;
    IF OLD.compliance_until > this_moment THEN
        why := 'retention in mode compliance, until ' || OLD.compliance_until;
    ELSIF OLD.override_until > this_moment AND OLD.locked THEN
        why := coalesce(
            (SELECT 'the retention policy ' || p.name || ' locks it in mode compliance, and has not come to it yet'
                FROM public.lock_policies p WHERE p.enabled AND p.kind = 'compliance' AND p.ledger_id = OLD.ledger_id
                  AND public.lock_deadline(p.rule, OLD.recorded_at) <= this_moment AND public.lock_matches(p.scope, OLD)
                ORDER BY p.id LIMIT 1),
            CASE WHEN TG_OP = 'DELETE' OR replace(convert_from(NEW.record, 'UTF8'), '\u0000', '\u2400')::json
                #>> '{amendment,override}' IS DISTINCT FROM OLD.override_id::text
            THEN 'the override ' || OLD.override_id || ' runs, and the new record does not name it' END);
    ELSIF OLD.hold_count > 0 THEN
        why := 'legal hold';
    ELSIF OLD.governance_until > this_moment THEN
        why := 'retention in mode governance, until ' || OLD.governance_until;
    ELSIF OLD.locks_at <= this_moment THEN
        why := 'a retention policy locks it since ' || OLD.locks_at;
    ELSE
        why := (SELECT 'the retention policy ' || p.name || ' locks it, and has not come to it yet' FROM public.lock_policies p
            WHERE p.enabled AND p.ledger_id = OLD.ledger_id AND p.next_leaf <= OLD.leaf_index
              AND public.lock_deadline(p.rule, OLD.recorded_at) <= this_moment AND public.lock_matches(p.scope, OLD)
            ORDER BY p.id LIMIT 1);
    END IF;
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'AL002: % on % is refused: the entry is locked', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'AL002', DETAIL = json_build_object('rule', 'AL002', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', OLD.id, 'locks', coalesce(OLD.held_by, '{}'), 'reason', why)::text;
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END;
$$;

-- AL002: the earlier versions of a locked entry stay as they are, also past a deadline of a policy that no worker has come
-- to yet: what the guard of entries refuses to change keeps what it was before. No override is for purging. The entry's row
-- is locked, so that a lock that is made meanwhile is waited for and seen.
CREATE OR REPLACE FUNCTION public.revision_lock_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_moment timestamptz := clock_timestamp();
    entry public.activity_logs;
    why text;
BEGIN
    SELECT a.* INTO entry FROM public.activity_logs a WHERE a.id = OLD.entry_id FOR SHARE;
    IF entry.locked THEN
        why := 'its entry is locked';
    ELSIF entry.locks_at <= this_moment THEN
        why := 'a retention policy locks its entry since ' || entry.locks_at;
    ELSE
        why := (SELECT 'the retention policy ' || p.name || ' locks its entry, and has not come to it yet' FROM public.lock_policies p
            WHERE p.enabled AND p.ledger_id = entry.ledger_id AND p.next_leaf <= entry.leaf_index
              AND public.lock_deadline(p.rule, entry.recorded_at) <= this_moment AND public.lock_matches(p.scope, entry)
            ORDER BY p.id LIMIT 1);
    END IF;
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'AL002: % on % is refused: the entry is locked', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'AL002', DETAIL = json_build_object('rule', 'AL002', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', OLD.entry_id, 'locks', coalesce(entry.held_by, '{}'), 'reason', why)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- Begins a lock. It holds what lock_apply has come to, and is in force once that is everything.
CREATE OR REPLACE FUNCTION public.lock_start(for_ledger smallint, lock_kind text, lock_scope jsonb, why text, case_ref text,
    ends timestamptz, who text, by_policy bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    IF lock_scope - ARRAY['entries', 'type', 'severity', 'outcome', 'source', 'actor', 'action', 'target', 'ip', 'occurred_from',
            'occurred_to', 'recorded_from', 'recorded_to', 'leaf_from', 'leaf_to'] <> '{}'::jsonb
        OR NOT EXISTS (SELECT FROM public.ledgers l WHERE l.id = for_ledger AND l.kind = 'activity') THEN
        RAISE EXCEPTION 'AL006: a lock has a scope in one ledger of entries' USING ERRCODE = 'AL006';
    END IF;
    INSERT INTO public.log_locks (ledger_id, kind, scope, reason, case_reference, until, locked_by, policy_id, state, next_leaf, count,
            lifted_to)
        VALUES (for_ledger, lock_kind, lock_scope, why, case_ref, ends, who, by_policy, 'applying', 0, 0, 0) RETURNING id INTO made;
    RETURN made;
END;
$$;

DROP FUNCTION public.lock_owed(public.lock_policies, public.activity_logs);
