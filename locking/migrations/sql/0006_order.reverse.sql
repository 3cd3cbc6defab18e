-- Ends an override, early or because its time is over.
CREATE OR REPLACE FUNCTION public.override_end(override bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    o public.lock_overrides;
    ended text;
BEGIN
    SELECT r.* INTO o FROM public.lock_overrides r WHERE r.id = override AND r.state IN ('requested', 'approved') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    ended := CASE WHEN o.state = 'requested' OR o.runs_until <= clock_timestamp() THEN 'expired' ELSE 'closed' END;
    UPDATE public.lock_overrides r SET state = ended, ended_at = clock_timestamp() WHERE r.id = override;
    UPDATE public.activity_logs a SET override_id = NULL, override_until = NULL WHERE a.override_id = override AND a.id = ANY (o.entries);
    RETURN ended;
END;
$$;
