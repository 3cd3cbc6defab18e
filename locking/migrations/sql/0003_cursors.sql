-- Moves a policy's cursor; nothing comes back if another worker was there before.
-- AL006: the cursor of a policy of time is moved by policy_mark alone, which writes the deadlines on the way: the guard AL002
-- judges what lies behind the cursor by its deadline, and what was skipped would have none. No cursor goes beyond the ledger.
CREATE OR REPLACE FUNCTION public.policy_advance(policy bigint, from_leaf bigint, to_leaf bigint, was_done text, is_done text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    IF EXISTS (SELECT FROM public.lock_policies p JOIN public.ledger_heads h ON h.ledger_id = p.ledger_id WHERE p.id = policy
            AND (to_leaf > h.size OR (p.rule ->> 'kind' IN ('age', 'period') AND to_leaf <> from_leaf))) THEN
        RAISE EXCEPTION 'AL006: a cursor skips nothing' USING ERRCODE = 'AL006',
            DETAIL = json_build_object('rule', 'AL006', 'policy', policy, 'reason', 'a cursor skips nothing')::text;
    END IF;
    UPDATE public.lock_policies p SET next_leaf = to_leaf, done = is_done
        WHERE p.id = policy AND p.enabled AND p.next_leaf = from_leaf AND p.done = was_done AND to_leaf >= from_leaf RETURNING p.id INTO moved;
    RETURN moved;
END;
$$;
