-- Moves a policy's cursor; nothing comes back if another worker was there before.
CREATE OR REPLACE FUNCTION public.policy_advance(policy bigint, from_leaf bigint, to_leaf bigint, was_done text, is_done text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    UPDATE public.lock_policies p SET next_leaf = to_leaf, done = is_done
        WHERE p.id = policy AND p.enabled AND p.next_leaf = from_leaf AND p.done = was_done AND to_leaf >= from_leaf RETURNING p.id INTO moved;
    RETURN moved;
END;
$$;
