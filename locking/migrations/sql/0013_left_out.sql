-- From when on something that is past a deadline of a policy of time at a moment is in no lock of the policy: '' for from
-- the beginning, NULL if nothing is. Asked are its locks, not its cursor, which the app role leads: each that is in force
-- or was, of its filter and kind and as long, has what was recorded since the ones before it, and before it was made.
-- An id begins with the time of recording, and has an index.
CREATE FUNCTION public.policy_left_out(policy bigint, moment timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    times CONSTANT text[] := ARRAY['recorded_from', 'recorded_to'];
    p public.lock_policies;
    l record;
    beginning timestamptz;
    reached timestamptz;
    newest timestamptz;
BEGIN
    SELECT k.* INTO p FROM public.lock_policies k WHERE k.id = policy AND k.enabled AND k.rule ->> 'kind' IN ('age', 'period');
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    beginning := greatest(coalesce(p.scope ->> 'recorded_from', 'epoch')::timestamptz, 'epoch');
    reached := beginning;
    FOR l IN SELECT coalesce(k.scope ->> 'recorded_from', 'epoch')::timestamptz AS first,
                least((k.scope ->> 'recorded_to')::timestamptz, k.created_at) AS last
            FROM public.log_locks k WHERE k.policy_id = p.id AND k.ledger_id = p.ledger_id AND k.kind = p.kind
                AND k.state <> 'applying' AND k.scope - times = p.scope - times
                AND (k.until IS NULL OR k.until >= k.created_at + (p.lock_days * 24 - 1) * interval '1 hour')
            ORDER BY k.id LOOP
        IF l.first <= reached THEN
            reached := greatest(reached, l.last);
        END IF;
    END LOOP;
    newest := moment - (p.rule ->> 'days')::integer * interval '24 hours';  -- what was recorded later is not due
    PERFORM FROM public.activity_logs a WHERE a.ledger_id = p.ledger_id
        AND a.id >= (lpad(to_hex(floor(extract(epoch FROM reached) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
        AND a.id < (lpad(to_hex(greatest(floor(extract(epoch FROM newest) * 1000)::bigint + 1, 0)), 12, '0') || repeat('0', 20))::uuid
        AND a.recorded_at >= reached AND public.lock_deadline(p.rule, a.recorded_at) <= moment AND public.lock_matches(p.scope, a)
        LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN reached = beginning THEN '' ELSE to_char(reached AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.policy_left_out(bigint, timestamptz) FROM PUBLIC;

-- Sets a policy, enabled or not. For the approver role alone. One whose locks are others than before, by filter, kind or
-- length, begins anew, for what it has locked already is locked as it was said then; but no event that waits is passed over.
-- AL006: it changes once all that is past its deadline is in locks of it, for AL002 refuses to change that, and whoever sets
-- a policy frees nothing. What came past it within the last minute is left out: while there are writers, nobody is faster.
-- A snapshot that does not see what was recorded since would find nothing.
CREATE OR REPLACE FUNCTION public.policy_set(policy_name text, for_ledger smallint, is_enabled boolean, policy_rule jsonb, policy_scope jsonb,
    lock_kind text, days integer, who text, recorded uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
    was public.lock_policies;
BEGIN
    PERFORM public.lock_require_record(recorded, 'auditlog.lock-policy.set', policy_name, who);
    IF policy_scope ? 'entries' OR lock_kind NOT IN ('governance', 'compliance', 'hold') THEN
        RAISE EXCEPTION 'AL006: a policy has a filter and a kind of lock' USING ERRCODE = 'AL006';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'AL006: a policy is set in a transaction that reads what is committed' USING ERRCODE = 'AL006';
    END IF;
    SELECT k.* INTO was FROM public.lock_policies k WHERE k.name = policy_name FOR UPDATE;
    IF FOUND AND (was.enabled, was.ledger_id, was.rule, was.scope, was.kind, was.lock_days)
            IS DISTINCT FROM (is_enabled, for_ledger, policy_rule, policy_scope, lock_kind, days)
        AND public.policy_left_out(was.id, clock_timestamp() - interval '1 minute') IS NOT NULL THEN
        RAISE EXCEPTION 'AL006: the policy % stays as it is: something past its deadline is in no lock of it yet; set again, it is locked first', policy_name
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'policy', was.id,
                'reason', 'what is past its deadline is locked first')::text;
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
