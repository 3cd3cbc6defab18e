-- AL006: a lock only gets stronger. What it is never changes; it ends when its time is over, or is released by a second
-- person, and compliance never is. A release is asked for once; the request goes when it is withdrawn, or declined by
-- another person. Whether a release was recorded, its function has looked at.
CREATE OR REPLACE FUNCTION public.lock_row_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_at := clock_timestamp();
        IF (NEW.state, NEW.next_leaf, NEW.count, NEW.size, NEW.released_by, NEW.release_requested_by, NEW.lifted_to)
                IS DISTINCT FROM ('applying', 0::bigint, 0::bigint, NULL::bigint, NULL::varchar, NULL::varchar, 0::bigint)
            OR (NEW.until <= NEW.created_at) IS TRUE OR (NEW.kind = 'hold' AND NEW.until IS NOT NULL)
            OR NEW.kind NOT IN ('governance', 'compliance', 'hold') OR btrim(NEW.reason) = '' OR btrim(NEW.locked_by) = '' THEN
            broken := 'a lock begins now, with a kind, a reason and a name, and a hold has no end';
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        broken := 'locks stay';
    ELSE
        IF (NEW.id, NEW.ledger_id, NEW.kind, NEW.scope, NEW.reason, NEW.case_reference, NEW.locked_by, NEW.policy_id, NEW.created_at)
            IS DISTINCT FROM
            (OLD.id, OLD.ledger_id, OLD.kind, OLD.scope, OLD.reason, OLD.case_reference, OLD.locked_by, OLD.policy_id, OLD.created_at)
            OR (OLD.state <> 'applying' AND (NEW.count, NEW.size, NEW.root, NEW.in_force_at)
                IS DISTINCT FROM (OLD.count, OLD.size, OLD.root, OLD.in_force_at)) THEN
            broken := 'what a lock is never changes';
        ELSIF NEW.until IS DISTINCT FROM OLD.until AND (OLD.until IS NULL OR (NEW.until < OLD.until) IS TRUE OR OLD.state <> 'in_force'
                OR OLD.until <= clock_timestamp()) THEN
            broken := 'a lock is never shortened';
        ELSIF NEW.next_leaf < OLD.next_leaf OR NEW.lifted_to < OLD.lifted_to THEN
            broken := 'a lock is applied once, and lifted once';
        ELSIF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN
                (('applying', 'in_force'), ('in_force', 'released'), ('in_force', 'expired')) THEN
            broken := 'a lock only goes forward';
        ELSIF NEW.state = 'expired' AND (OLD.until <= clock_timestamp()) IS NOT TRUE THEN
            broken := 'its time is not over';
        ELSIF NEW.state = 'released' AND (NEW.kind = 'compliance' OR NEW.released_by IS NULL OR NEW.released_record IS NULL
                OR OLD.release_requested_by IS NULL) THEN
            broken := 'a release is asked for by one person and given by another, and never from compliance';
        ELSIF NEW.release_requested_by IS DISTINCT FROM OLD.release_requested_by AND (NEW.state <> 'in_force' OR OLD.state <> 'in_force'
                OR (NEW.release_requested_by <> OLD.release_requested_by) IS TRUE) THEN
            broken := 'a release is asked for while the lock is in force, and once';
        ELSIF (NEW.declined_by, NEW.declined_at, NEW.decline_reason, NEW.declined_record)
                IS DISTINCT FROM (OLD.declined_by, OLD.declined_at, OLD.decline_reason, OLD.declined_record)
            AND (NEW.release_requested_by IS NOT NULL OR NEW.declined_record IS NULL
                OR (NEW.declined_by <> OLD.release_requested_by) IS NOT TRUE) THEN
            broken := 'a request is declined by another person than who asked';
        ELSIF OLD.state IN ('released', 'expired') AND (NEW.released_by, NEW.released_at, NEW.released_record)
                IS DISTINCT FROM (OLD.released_by, OLD.released_at, OLD.released_record) THEN
            broken := 'what has ended has ended';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL006: % on % is refused: %', TG_OP, TG_TABLE_NAME, broken
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'reason', broken)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- AL006: that a system entry of this type was recorded for this subject by this person, signed, and not used before.
-- What weakens a lock is recorded first: a record without effect protects nobody less.
CREATE OR REPLACE FUNCTION public.lock_require_record(recorded uuid, of_type text, subject text, who text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.activity_logs a WHERE a.id = recorded AND a.type = of_type AND a.target = subject
            AND a.actor = who AND a.signature IS NOT NULL AND a.revision = 1)
        OR EXISTS (SELECT FROM public.log_locks l WHERE recorded IN (l.released_record, l.declined_record))
        OR EXISTS (SELECT FROM public.lock_overrides o WHERE recorded IN (o.decided_record, o.reviewed_record))
        OR EXISTS (SELECT FROM public.lock_policies p WHERE p.set_record = recorded) THEN
        RAISE EXCEPTION 'AL006: no system entry % by % records this step of %', of_type, who, subject
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'record', recorded)::text;
    END IF;
END;
$$;

-- Declines the release that another person asked for. For the approver role alone.
CREATE FUNCTION public.lock_decline_release(lock bigint, who text, why text, recorded uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.lock_require_record(recorded, 'auditlog.lock.release-declined', 'lock ' || lock, who);
    UPDATE public.log_locks k SET release_requested_by = NULL, release_reason = NULL, declined_by = who,
            declined_at = clock_timestamp(), decline_reason = why, declined_record = recorded
        WHERE k.id = lock AND k.state = 'in_force' AND k.release_requested_by IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: there is no such request to decline' USING ERRCODE = 'AL006';
    END IF;
END;
$$;

-- Withdraws a request for a release. Only who asked does so, for it is his word that goes.
CREATE FUNCTION public.lock_withdraw_release(lock bigint, who text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET release_requested_by = NULL, release_reason = NULL
        WHERE k.id = lock AND k.state = 'in_force' AND k.release_requested_by = who;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: there is no such request to withdraw' USING ERRCODE = 'AL006';
    END IF;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.lock_decline_release(bigint, text, text, uuid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_withdraw_release(bigint, text) FROM PUBLIC;
