-- Makes a lock last longer; the guard of its row refuses anything else. Its entries follow in chunks (lock_refresh).
-- AL006: one extension at a time. Who could begin another one before the last leaf was reached would hold it off for ever.
CREATE OR REPLACE FUNCTION public.lock_extend(lock bigint, ends timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET until = ends, extended_to = 0 WHERE k.id = lock AND k.extended_to = 9223372036854775807;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: there is no such lock, or an earlier extension of it is still being applied' USING ERRCODE = 'AL006';
    END IF;
END;
$$;

DROP FUNCTION public.lock_refresh(bigint, bigint, integer);

-- Gives the next leaves of an extended lock its new end. A second worker waits for the row of the lock and goes on where
-- the first one ended. What was amended meanwhile stands at a later leaf and is come to there.
CREATE FUNCTION public.lock_refresh(lock bigint, leaves integer) RETURNS TABLE (done boolean, refreshed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l public.log_locks;
    ends timestamptz;
    last_leaf bigint;
    head_size bigint;
    changed bigint;
BEGIN
    SELECT k.* INTO l FROM public.log_locks k WHERE k.id = lock AND k.state = 'in_force'
        AND k.extended_to < 9223372036854775807 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    ends := coalesce(l.until, '9999-12-31 23:59:59.999999Z');
    last_leaf := l.extended_to + greatest(leaves, 0);
    UPDATE public.activity_logs a
        SET governance_until = CASE l.kind WHEN 'governance' THEN ends ELSE a.governance_until END,
            compliance_until = CASE l.kind WHEN 'compliance' THEN ends ELSE a.compliance_until END
        WHERE a.ledger_id = l.ledger_id AND a.leaf_index >= l.extended_to AND a.leaf_index < last_leaf
          AND a.held_by @> ARRAY[lock]
          AND CASE l.kind WHEN 'governance' THEN a.governance_until WHEN 'compliance' THEN a.compliance_until END < ends;
    GET DIAGNOSTICS changed = ROW_COUNT;
    SELECT h.size INTO head_size FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
    done := last_leaf >= head_size;
    refreshed := changed;
    UPDATE public.log_locks k SET extended_to = CASE WHEN done THEN 9223372036854775807 ELSE last_leaf END WHERE k.id = lock;
    RETURN NEXT;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.lock_refresh(bigint, integer) FROM PUBLIC;
