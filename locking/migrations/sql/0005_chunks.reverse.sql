-- AL006: what stands on an entry about its locks follows from its locks, its deadline from the policies, and an override
-- is one that was approved for this very entry. A new lock ends a running override.
CREATE OR REPLACE FUNCTION public.entry_lock_state() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
    holding bigint[];
BEGIN
    IF TG_RELID <> 'public.activity_logs'::regclass THEN
        RAISE EXCEPTION 'AL006: this trigger serves activity_logs alone' USING ERRCODE = 'AL006';
    END IF;
    IF TG_OP = 'INSERT' THEN
        broken := 'an entry is recorded without locks';
    ELSE
        IF NEW.held_by IS NOT DISTINCT FROM OLD.held_by THEN
            IF (NEW.locked, NEW.hold_count, NEW.governance_until, NEW.compliance_until)
                IS DISTINCT FROM (OLD.locked, OLD.hold_count, OLD.governance_until, OLD.compliance_until)
                AND OLD.held_by IS NULL THEN
                broken := 'an entry is locked by its locks alone';
            END IF;
        ELSE
            IF EXISTS (SELECT FROM unnest(OLD.held_by) gone (id) JOIN public.log_locks l ON l.id = gone.id
                    WHERE l.state IN ('applying', 'in_force') AND gone.id <> ALL (coalesce(NEW.held_by, '{}'))) THEN
                broken := 'a lock that is in force keeps its entries';
            END IF;
            IF EXISTS (SELECT FROM unnest(NEW.held_by) added (id) WHERE added.id <> ALL (coalesce(OLD.held_by, '{}'))) THEN
                NEW.override_id := NULL;
                NEW.override_until := NULL;
            END IF;
        END IF;
        SELECT array_agg(l.id ORDER BY l.id), l.holds, l.governance, l.compliance
            INTO holding, NEW.hold_count, NEW.governance_until, NEW.compliance_until
            FROM (SELECT h.id, count(*) FILTER (WHERE h.kind = 'hold') OVER all_of AS holds,
                    max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'governance') OVER all_of AS governance,
                    max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'compliance') OVER all_of AS compliance
                FROM public.log_locks h WHERE h.id = ANY (NEW.held_by) AND h.ledger_id = NEW.ledger_id
                    AND h.state IN ('applying', 'in_force')
                WINDOW all_of AS ()) l
            GROUP BY l.holds, l.governance, l.compliance;
        NEW.hold_count := coalesce(NEW.hold_count, 0);
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

-- Applies a lock to its next leaves. What was amended meanwhile stands at a later leaf and is come to there. Once all is
-- locked that there is, the head is locked, so that nothing is appended until the lock is in force, with the root of that
-- moment; entries come before heads, as everywhere, and what was appended in between is not waited for: the next call
-- takes it. A second worker waits for the row of the lock and goes on where the first one ended: nothing is locked twice.
CREATE OR REPLACE FUNCTION public.lock_apply(lock bigint, leaves integer) RETURNS TABLE (now_in_force boolean, locked_now bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l public.log_locks;
    head public.ledger_heads;
    turn record;
    bound bigint;
    last_leaf bigint;
    changed bigint := 0;
    more bigint := 0;
    tree_root bytea;
BEGIN
    SELECT k.* INTO l FROM public.log_locks k WHERE k.id = lock AND k.state = 'applying' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    bound := coalesce((l.scope ->> 'leaf_to')::bigint, 9223372036854775807);
    SELECT h.size INTO last_leaf FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
    last_leaf := greatest(least(last_leaf, bound, l.next_leaf + leaves), l.next_leaf);
    IF l.scope ? 'entries' THEN
        PERFORM FROM public.activity_logs a WHERE a.ledger_id = l.ledger_id
            AND a.id IN (SELECT e::uuid FROM jsonb_array_elements_text(l.scope -> 'entries') e) ORDER BY a.leaf_index FOR UPDATE;
        UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
            AND a.id IN (SELECT e::uuid FROM jsonb_array_elements_text(l.scope -> 'entries') e)
            AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
    ELSE
        UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
            AND a.leaf_index >= l.next_leaf AND a.leaf_index < last_leaf AND public.lock_matches(l.scope, a)
            AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
    END IF;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF l.scope ? 'entries' OR last_leaf < l.next_leaf + leaves THEN
        FOR turn IN SELECT g.id FROM public.ledgers g WHERE g.kind = 'activity' AND (g.id = l.ledger_id OR g.name = 'activity')
            ORDER BY g.name LOOP
            PERFORM FROM public.ledger_heads h WHERE h.ledger_id = turn.id FOR UPDATE;
        END LOOP;
        SELECT h.* INTO head FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
        BEGIN
            IF NOT l.scope ? 'entries' THEN
                PERFORM FROM public.activity_logs a WHERE a.ledger_id = l.ledger_id AND a.leaf_index >= last_leaf
                    AND a.leaf_index < least(head.size, bound) FOR UPDATE NOWAIT;
                UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
                    AND a.leaf_index >= last_leaf AND a.leaf_index < least(head.size, bound) AND public.lock_matches(l.scope, a)
                    AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
                GET DIAGNOSTICS more = ROW_COUNT;
            END IF;
            tree_root := head.frontier[cardinality(head.frontier)];
            FOR i IN REVERSE cardinality(head.frontier) - 1 .. 1 LOOP
                tree_root := sha256('\x01'::bytea || head.frontier[i] || tree_root);
            END LOOP;
            UPDATE public.log_locks k SET state = 'in_force', next_leaf = greatest(least(head.size, bound), l.next_leaf),
                count = l.count + changed + more, size = head.size, root = tree_root, in_force_at = clock_timestamp() WHERE k.id = lock;
            RETURN QUERY SELECT true, changed + more;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody amends what he has just recorded
        END;
    END IF;
    UPDATE public.log_locks k SET next_leaf = last_leaf, count = l.count + changed WHERE k.id = lock;
    RETURN QUERY SELECT false, changed;
END;
$$;
