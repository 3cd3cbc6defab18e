-- AL002: the earlier versions of a locked entry stay as they are, also past a deadline of a policy that no worker has come
-- to yet: what the guard of entries refuses to change keeps what it was before. No override is for purging. The entry's row
-- is locked, so that a lock that is made meanwhile is waited for and seen.
CREATE FUNCTION public.revision_lock_guard() RETURNS trigger
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

REVOKE EXECUTE ON FUNCTION public.revision_lock_guard() FROM PUBLIC;

CREATE TRIGGER a_kept_while_locked BEFORE UPDATE ON public.activity_revisions
    FOR EACH ROW EXECUTE FUNCTION public.revision_lock_guard();
ALTER TABLE public.activity_revisions ENABLE ALWAYS TRIGGER a_kept_while_locked;
