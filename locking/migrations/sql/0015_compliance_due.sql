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
