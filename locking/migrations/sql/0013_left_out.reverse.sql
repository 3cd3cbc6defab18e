-- Sets a policy, enabled or not. For the approver role alone. One whose locks are others than before, by filter, kind or
-- length, begins anew, for what it has locked already is locked as it was said then; but no event that waits is passed over.
CREATE OR REPLACE FUNCTION public.policy_set(policy_name text, for_ledger smallint, is_enabled boolean, policy_rule jsonb, policy_scope jsonb,
    lock_kind text, days integer, who text, recorded uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM public.lock_require_record(recorded, 'auditlog.lock-policy.set', policy_name, who);
    IF policy_scope ? 'entries' OR lock_kind NOT IN ('governance', 'compliance', 'hold') THEN
        RAISE EXCEPTION 'AL006: a policy has a filter and a kind of lock' USING ERRCODE = 'AL006';
    END IF;
    -- What happened before an event-based policy was set is not its business; a policy of time looks at all there is.
    INSERT INTO public.lock_policies AS p (name, ledger_id, enabled, rule, scope, kind, lock_days, set_by, set_at, set_record, next_leaf, done)
        SELECT policy_name, for_ledger, is_enabled, policy_rule, policy_scope, lock_kind, days, who, clock_timestamp(), recorded,
            CASE WHEN policy_rule ->> 'kind' = 'event' THEN h.size ELSE 0 END, ''
        FROM public.ledger_heads h WHERE h.ledger_id = for_ledger
        ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, rule = excluded.rule, scope = excluded.scope,
            kind = excluded.kind, lock_days = excluded.lock_days, set_by = excluded.set_by, set_at = excluded.set_at,
            set_record = excluded.set_record, ledger_id = excluded.ledger_id,
            next_leaf = CASE
                WHEN (p.rule, p.scope, p.enabled, p.kind, p.lock_days) IS NOT DISTINCT FROM
                    (excluded.rule, excluded.scope, excluded.enabled, excluded.kind, excluded.lock_days) THEN p.next_leaf
                WHEN p.enabled AND (p.rule ->> 'kind', excluded.rule ->> 'kind') = ('event', 'event') THEN p.next_leaf
                ELSE excluded.next_leaf END,
            done = CASE WHEN (p.scope, p.kind, p.lock_days) IS NOT DISTINCT FROM
                (excluded.scope, excluded.kind, excluded.lock_days) THEN p.done ELSE '' END
        RETURNING p.id INTO made;
    RETURN made;
END;
$$;

DROP FUNCTION public.policy_left_out(bigint, timestamptz);
