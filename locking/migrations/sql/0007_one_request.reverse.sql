-- Asks for the release of a lock.
CREATE OR REPLACE FUNCTION public.lock_request_release(lock bigint, who text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET release_requested_by = who, release_reason = why
        WHERE k.id = lock AND k.state = 'in_force' AND k.kind <> 'compliance' AND btrim(who) <> '' AND btrim(why) <> '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: this lock cannot be released' USING ERRCODE = 'AL006';
    END IF;
END;
$$;
