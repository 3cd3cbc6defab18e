-- Asks for the release of a lock.
-- AL006: once. A second request would take the place of the first, and whoever had asked could then give the release
-- himself; that two people released it would be true of the row alone.
CREATE OR REPLACE FUNCTION public.lock_request_release(lock bigint, who text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked_by text;
BEGIN
    SELECT k.release_requested_by INTO asked_by FROM public.log_locks k WHERE k.id = lock AND k.state = 'in_force' FOR UPDATE;
    IF asked_by IS NOT NULL THEN
        RAISE EXCEPTION 'AL006: its release is asked for already, by %', asked_by USING ERRCODE = 'AL006',
            DETAIL = json_build_object('rule', 'AL006', 'lock', lock, 'reason', 'its release is asked for already')::text;
    END IF;
    UPDATE public.log_locks k SET release_requested_by = who, release_reason = why
        WHERE k.id = lock AND k.state = 'in_force' AND k.kind <> 'compliance' AND btrim(who) <> '' AND btrim(why) <> '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: this lock cannot be released' USING ERRCODE = 'AL006';
    END IF;
END;
$$;
