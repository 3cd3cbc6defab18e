DROP FUNCTION public.lock_refresh(bigint, integer);

-- Computes anew what stands on the entries of an extended lock, a run of leaves at a time.
CREATE FUNCTION public.lock_refresh(lock bigint, first_leaf bigint, leaves integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed bigint;
BEGIN
    UPDATE public.activity_logs a
        SET governance_until = CASE l.kind WHEN 'governance' THEN l.ends ELSE a.governance_until END,
            compliance_until = CASE l.kind WHEN 'compliance' THEN l.ends ELSE a.compliance_until END
        FROM (SELECT k.id, k.kind, k.ledger_id, coalesce(k.until, '9999-12-31 23:59:59.999999Z') AS ends
              FROM public.log_locks k WHERE k.id = lock AND k.state = 'in_force') l
        WHERE a.ledger_id = l.ledger_id AND a.leaf_index >= first_leaf AND a.leaf_index < first_leaf + leaves
          AND a.held_by @> ARRAY[l.id]
          AND CASE l.kind WHEN 'governance' THEN a.governance_until WHEN 'compliance' THEN a.compliance_until END < l.ends;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.lock_refresh(bigint, bigint, integer) FROM PUBLIC;

-- Makes a lock last longer; the guard of its row refuses anything else. Its entries follow in chunks (lock_refresh).
CREATE OR REPLACE FUNCTION public.lock_extend(lock bigint, ends timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET until = ends WHERE k.id = lock;
END;
$$;
