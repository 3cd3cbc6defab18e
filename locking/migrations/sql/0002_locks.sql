-- Whether an entry is in the scope of a lock or policy. Without SET, so that it is inlined where a million rows are asked.
CREATE FUNCTION public.lock_matches(scope jsonb, entry public.activity_logs) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN scope ? 'entries' THEN scope -> 'entries' ? entry.id::text ELSE
        (NOT scope ? 'type' OR entry.type = scope ->> 'type'
            OR (right(scope ->> 'type', 2) = '.*' AND starts_with(entry.type, left(scope ->> 'type', -1))))
        AND (NOT scope ? 'severity' OR entry.severity = scope ->> 'severity')
        AND (NOT scope ? 'outcome' OR entry.outcome = scope ->> 'outcome')
        AND (NOT scope ? 'source' OR entry.source = scope ->> 'source')
        AND (NOT scope ? 'actor' OR entry.actor = scope ->> 'actor')
        AND (NOT scope ? 'action' OR entry.action = scope ->> 'action')
        AND (NOT scope ? 'target' OR entry.target = scope ->> 'target')
        AND (NOT scope ? 'ip' OR entry.ip = (scope ->> 'ip')::inet)
        AND (NOT scope ? 'occurred_from' OR entry.occurred_at >= (scope ->> 'occurred_from')::timestamptz)
        AND (NOT scope ? 'occurred_to' OR entry.occurred_at < (scope ->> 'occurred_to')::timestamptz)
        AND (NOT scope ? 'recorded_from' OR entry.recorded_at >= (scope ->> 'recorded_from')::timestamptz)
        AND (NOT scope ? 'recorded_to' OR entry.recorded_at < (scope ->> 'recorded_to')::timestamptz)
        AND (NOT scope ? 'leaf_from' OR entry.leaf_index >= (scope ->> 'leaf_from')::bigint)
        AND (NOT scope ? 'leaf_to' OR entry.leaf_index < (scope ->> 'leaf_to')::bigint) END
$$;

-- When a time-based rule locks what was recorded at a moment; NULL if the rule is not one of time.
CREATE FUNCTION public.lock_deadline(rule jsonb, recorded_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE rule ->> 'kind'
        WHEN 'age' THEN recorded_at + (rule ->> 'days')::integer * interval '24 hours'
        WHEN 'period' THEN (date_trunc(rule ->> 'period', recorded_at AT TIME ZONE 'UTC')
                + CASE rule ->> 'period' WHEN 'month' THEN interval '1 month' ELSE interval '3 months' END) AT TIME ZONE 'UTC'
            + (rule ->> 'days')::integer * interval '24 hours' END
$$;

-- When the policies of time that are enabled lock an entry; NULL if none does.
CREATE FUNCTION public.lock_due_at(entry public.activity_logs) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(public.lock_deadline(p.rule, entry.recorded_at)) FROM public.lock_policies p
    WHERE p.enabled AND p.ledger_id = entry.ledger_id AND p.rule ->> 'kind' IN ('age', 'period')
      AND public.lock_matches(p.scope, entry)
$$;

-- AL002: a locked entry changes only under an override that is running; under compliance it does not change at all.
-- Whether it is locked is read from its own row, for a lock that is made meanwhile changes that row: a lock's own row
-- would be invisible to an old snapshot. Time is the clock's, for now() stands still in an old transaction. Only what a
-- policy of time has not come to yet is judged by the policy.
CREATE FUNCTION public.entry_lock_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    this_moment timestamptz := clock_timestamp();
    why text;
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.leaf_index, NEW.revision) = (OLD.leaf_index, OLD.revision)
        AND (NEW.locked, NEW.held_by, NEW.hold_count, NEW.governance_until, NEW.compliance_until, NEW.locks_at, NEW.override_id,
            NEW.override_until) IS DISTINCT FROM (OLD.locked, OLD.held_by, OLD.hold_count, OLD.governance_until,
            OLD.compliance_until, OLD.locks_at, OLD.override_id, OLD.override_until) THEN
        RETURN NEW;  -- of these columns the trigger of the state of locks is in charge
    END IF;
    IF OLD.compliance_until > this_moment THEN
        why := 'retention in mode compliance, until ' || OLD.compliance_until;
    ELSIF OLD.override_until > this_moment AND OLD.locked THEN
        why := CASE WHEN TG_OP = 'DELETE' OR replace(convert_from(NEW.record, 'UTF8'), '\u0000', '\u2400')::json
                #>> '{amendment,override}' IS DISTINCT FROM OLD.override_id::text
            THEN 'the override ' || OLD.override_id || ' runs, and the new record does not name it' END;
    ELSIF OLD.hold_count > 0 THEN
        why := 'legal hold';
    ELSIF OLD.governance_until > this_moment THEN
        why := 'retention in mode governance, until ' || OLD.governance_until;
    ELSIF OLD.locks_at <= this_moment THEN
        why := 'a retention policy locks it since ' || OLD.locks_at;
    ELSIF EXISTS (SELECT FROM public.lock_policies p WHERE p.enabled AND p.ledger_id = OLD.ledger_id
            AND p.next_leaf <= OLD.leaf_index AND public.lock_deadline(p.rule, OLD.recorded_at) <= this_moment
            AND public.lock_matches(p.scope, OLD)) THEN
        why := 'a retention policy locks it, and has not come to it yet';
    END IF;
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'AL002: % on % is refused: the entry is locked', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'AL002', DETAIL = json_build_object('rule', 'AL002', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', OLD.id, 'locks', coalesce(OLD.held_by, '{}'), 'reason', why)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- AL006: what stands on an entry about its locks follows from its locks, its deadline from the policies, and an override
-- is one that was approved for this very entry. A new lock ends a running override.
CREATE FUNCTION public.entry_lock_state() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
    holding bigint[];
BEGIN
    IF TG_RELID <> 'public.activity_logs'::regclass THEN
        RAISE EXCEPTION 'AL006: this trigger serves activity_logs alone' USING ERRCODE = 'AL006';
    END IF;
    IF TG_OP = 'INSERT' THEN
        broken := 'an entry is recorded without locks';
    ELSE
        IF NEW.held_by IS NOT DISTINCT FROM OLD.held_by THEN
            IF (NEW.locked, NEW.hold_count, NEW.governance_until, NEW.compliance_until)
                IS DISTINCT FROM (OLD.locked, OLD.hold_count, OLD.governance_until, OLD.compliance_until)
                AND OLD.held_by IS NULL THEN
                broken := 'an entry is locked by its locks alone';
            END IF;
        ELSE
            IF EXISTS (SELECT FROM unnest(OLD.held_by) gone (id) JOIN public.log_locks l ON l.id = gone.id
                    WHERE l.state IN ('applying', 'in_force') AND gone.id <> ALL (coalesce(NEW.held_by, '{}'))) THEN
                broken := 'a lock that is in force keeps its entries';
            END IF;
            IF EXISTS (SELECT FROM unnest(NEW.held_by) added (id) WHERE added.id <> ALL (coalesce(OLD.held_by, '{}'))) THEN
                NEW.override_id := NULL;
                NEW.override_until := NULL;
            END IF;
        END IF;
        SELECT array_agg(l.id ORDER BY l.id), l.holds, l.governance, l.compliance
            INTO holding, NEW.hold_count, NEW.governance_until, NEW.compliance_until
            FROM (SELECT h.id, count(*) FILTER (WHERE h.kind = 'hold') OVER all_of AS holds,
                    max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'governance') OVER all_of AS governance,
                    max(coalesce(h.until, '9999-12-31 23:59:59.999999Z')) FILTER (WHERE h.kind = 'compliance') OVER all_of AS compliance
                FROM public.log_locks h WHERE h.id = ANY (NEW.held_by) AND h.ledger_id = NEW.ledger_id
                    AND h.state IN ('applying', 'in_force')
                WINDOW all_of AS ()) l
            GROUP BY l.holds, l.governance, l.compliance;
        NEW.hold_count := coalesce(NEW.hold_count, 0);
        NEW.held_by := holding;
        NEW.locked := holding IS NOT NULL;
        IF NEW.locks_at IS DISTINCT FROM OLD.locks_at THEN
            NEW.locks_at := public.lock_due_at(NEW);
        END IF;
        IF NEW.override_id IS NOT NULL AND (NEW.override_id, NEW.override_until) IS DISTINCT FROM (OLD.override_id, OLD.override_until)
            AND NOT EXISTS (SELECT FROM public.lock_overrides o WHERE o.id = NEW.override_id AND o.state = 'approved'
                AND o.runs_until = NEW.override_until AND NEW.id = ANY (o.entries)) THEN
            broken := 'the override was not approved for this entry';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'AL006: % on % is refused: %', TG_OP, TG_TABLE_NAME, broken
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'table', TG_TABLE_NAME, 'operation', TG_OP,
                'entry', NEW.id, 'reason', broken)::text;
    END IF;
    RETURN NEW;
END;
$$;

-- Counts what was done under an override, on its own row.
CREATE FUNCTION public.entry_override_used() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_RELID <> 'public.activity_logs'::regclass THEN
        RAISE EXCEPTION 'AL006: this trigger serves activity_logs alone' USING ERRCODE = 'AL006';
    END IF;
    UPDATE public.lock_overrides o SET used_count = o.used_count + 1 WHERE o.id = OLD.override_id
        AND OLD.override_until > clock_timestamp();
    RETURN NULL;
END;
$$;

-- AL006: a lock only gets stronger. What it is never changes; it ends when its time is over, or is released by a second
-- person, and compliance never is. Whether a release was recorded, its function has looked at.
CREATE FUNCTION public.lock_row_guard() RETURNS trigger
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

-- AL006: an override is asked for, decided once by another person, runs for as long as was asked, and ends for good.
CREATE FUNCTION public.override_row_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.requested_at := clock_timestamp();
        IF (NEW.state, NEW.decided_by, NEW.runs_until, NEW.used_count, NEW.ended_at, NEW.reviewed_by)
                IS DISTINCT FROM ('requested', NULL::varchar, NULL::timestamptz, 0, NULL::timestamptz, NULL::varchar)
            OR btrim(NEW.reason) = '' OR btrim(NEW.requested_by) = '' OR cardinality(NEW.entries) NOT BETWEEN 1 AND 100 THEN
            broken := 'an override begins as a request, with a reason, a name, and 1 to 100 entries';
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        broken := 'overrides stay';
    ELSE
        IF (NEW.id, NEW.requested_by, NEW.requested_at, NEW.reason, NEW.case_reference, NEW.entries, NEW.hours, NEW.lifts_holds)
            IS DISTINCT FROM
            (OLD.id, OLD.requested_by, OLD.requested_at, OLD.reason, OLD.case_reference, OLD.entries, OLD.hours, OLD.lifts_holds)
            OR (OLD.state <> 'requested' AND (NEW.decided_by, NEW.decided_at, NEW.decided_record, NEW.runs_until)
                IS DISTINCT FROM (OLD.decided_by, OLD.decided_at, OLD.decided_record, OLD.runs_until)) THEN
            broken := 'what was asked for and decided never changes';
        ELSIF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN
                (('requested', 'approved'), ('requested', 'denied'), ('requested', 'expired'), ('approved', 'closed'), ('approved', 'expired')) THEN
            broken := 'an override only goes forward';
        ELSIF NEW.state = 'approved' AND OLD.state = 'requested' AND (NEW.decided_by IS NULL OR NEW.decided_record IS NULL
                OR (NEW.runs_until <= clock_timestamp() + NEW.hours * interval '1 hour') IS NOT TRUE) THEN
            broken := 'an override is decided by a second person, and runs no longer than was asked';
        ELSIF NEW.state = 'expired' AND OLD.state = 'approved' AND (OLD.runs_until <= clock_timestamp()) IS NOT TRUE THEN
            broken := 'its time is not over';
        ELSIF NEW.used_count < OLD.used_count OR (OLD.reviewed_by IS NOT NULL AND (NEW.reviewed_by, NEW.reviewed_at, NEW.reviewed_record)
                IS DISTINCT FROM (OLD.reviewed_by, OLD.reviewed_at, OLD.reviewed_record)) THEN
            broken := 'uses are counted, and a review stays';
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

-- AL006: the cursor of a policy only goes forward, and a policy is disabled, never removed.
CREATE FUNCTION public.policy_row_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.id, NEW.name, NEW.ledger_id) = (OLD.id, OLD.name, OLD.ledger_id)
        AND (NEW.next_leaf >= OLD.next_leaf OR NEW.set_record <> OLD.set_record) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL006: % on lock_policies is refused: a policy is set anew or disabled, and its cursor goes forward', TG_OP
        USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL006: that a system entry of this type was recorded for this subject by this person, signed, and not used before.
-- What weakens a lock is recorded first: a record without effect protects nobody less.
CREATE FUNCTION public.lock_require_record(recorded uuid, of_type text, subject text, who text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM public.activity_logs a WHERE a.id = recorded AND a.type = of_type AND a.target = subject
            AND a.actor = who AND a.signature IS NOT NULL AND a.revision = 1)
        OR EXISTS (SELECT FROM public.log_locks l WHERE l.released_record = recorded)
        OR EXISTS (SELECT FROM public.lock_overrides o WHERE recorded IN (o.decided_record, o.reviewed_record))
        OR EXISTS (SELECT FROM public.lock_policies p WHERE p.set_record = recorded) THEN
        RAISE EXCEPTION 'AL006: no system entry % by % records this step of %', of_type, who, subject
            USING ERRCODE = 'AL006', DETAIL = json_build_object('rule', 'AL006', 'record', recorded)::text;
    END IF;
END;
$$;

-- Begins a lock. It holds what lock_apply has come to, and is in force once that is everything.
CREATE FUNCTION public.lock_start(for_ledger smallint, lock_kind text, lock_scope jsonb, why text, case_ref text,
    ends timestamptz, who text, by_policy bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    IF lock_scope - ARRAY['entries', 'type', 'severity', 'outcome', 'source', 'actor', 'action', 'target', 'ip', 'occurred_from',
            'occurred_to', 'recorded_from', 'recorded_to', 'leaf_from', 'leaf_to'] <> '{}'::jsonb
        OR NOT EXISTS (SELECT FROM public.ledgers l WHERE l.id = for_ledger AND l.kind = 'activity') THEN
        RAISE EXCEPTION 'AL006: a lock has a scope in one ledger of entries' USING ERRCODE = 'AL006';
    END IF;
    INSERT INTO public.log_locks (ledger_id, kind, scope, reason, case_reference, until, locked_by, policy_id, state, next_leaf, count,
            lifted_to)
        VALUES (for_ledger, lock_kind, lock_scope, why, case_ref, ends, who, by_policy, 'applying', 0, 0, 0) RETURNING id INTO made;
    RETURN made;
END;
$$;

-- Applies a lock to its next leaves. What was amended meanwhile stands at a later leaf and is come to there. Once all is
-- locked that there is, the head is locked, so that nothing is appended until the lock is in force, with the root of that
-- moment; entries come before heads, as everywhere, and what was appended in between is not waited for: the next call
-- takes it. A second worker waits for the row of the lock and goes on where the first one ended: nothing is locked twice.
CREATE FUNCTION public.lock_apply(lock bigint, leaves integer) RETURNS TABLE (now_in_force boolean, locked_now bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l public.log_locks;
    head public.ledger_heads;
    turn record;
    bound bigint;
    last_leaf bigint;
    changed bigint := 0;
    more bigint := 0;
    tree_root bytea;
BEGIN
    SELECT k.* INTO l FROM public.log_locks k WHERE k.id = lock AND k.state = 'applying' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    bound := coalesce((l.scope ->> 'leaf_to')::bigint, 9223372036854775807);
    SELECT h.size INTO last_leaf FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
    last_leaf := greatest(least(last_leaf, bound, l.next_leaf + leaves), l.next_leaf);
    IF l.scope ? 'entries' THEN
        PERFORM FROM public.activity_logs a WHERE a.ledger_id = l.ledger_id
            AND a.id IN (SELECT e::uuid FROM jsonb_array_elements_text(l.scope -> 'entries') e) ORDER BY a.leaf_index FOR UPDATE;
        UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
            AND a.id IN (SELECT e::uuid FROM jsonb_array_elements_text(l.scope -> 'entries') e)
            AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
    ELSE
        UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
            AND a.leaf_index >= l.next_leaf AND a.leaf_index < last_leaf AND public.lock_matches(l.scope, a)
            AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
    END IF;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF l.scope ? 'entries' OR last_leaf < l.next_leaf + leaves THEN
        FOR turn IN SELECT g.id FROM public.ledgers g WHERE g.kind = 'activity' AND (g.id = l.ledger_id OR g.name = 'activity')
            ORDER BY g.name LOOP
            PERFORM FROM public.ledger_heads h WHERE h.ledger_id = turn.id FOR UPDATE;
        END LOOP;
        SELECT h.* INTO head FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
        BEGIN
            IF NOT l.scope ? 'entries' THEN
                PERFORM FROM public.activity_logs a WHERE a.ledger_id = l.ledger_id AND a.leaf_index >= last_leaf
                    AND a.leaf_index < least(head.size, bound) FOR UPDATE NOWAIT;
                UPDATE public.activity_logs a SET held_by = array_append(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
                    AND a.leaf_index >= last_leaf AND a.leaf_index < least(head.size, bound) AND public.lock_matches(l.scope, a)
                    AND (a.held_by @> ARRAY[lock]) IS NOT TRUE;
                GET DIAGNOSTICS more = ROW_COUNT;
            END IF;
            tree_root := head.frontier[cardinality(head.frontier)];
            FOR i IN REVERSE cardinality(head.frontier) - 1 .. 1 LOOP
                tree_root := sha256('\x01'::bytea || head.frontier[i] || tree_root);
            END LOOP;
            UPDATE public.log_locks k SET state = 'in_force', next_leaf = greatest(least(head.size, bound), l.next_leaf),
                count = l.count + changed + more, size = head.size, root = tree_root, in_force_at = clock_timestamp() WHERE k.id = lock;
            RETURN QUERY SELECT true, changed + more;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- somebody amends what he has just recorded
        END;
    END IF;
    UPDATE public.log_locks k SET next_leaf = last_leaf, count = l.count + changed WHERE k.id = lock;
    RETURN QUERY SELECT false, changed;
END;
$$;

-- Makes a lock last longer; the guard of its row refuses anything else. Its entries follow in chunks (lock_refresh).
CREATE FUNCTION public.lock_extend(lock bigint, ends timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET until = ends WHERE k.id = lock;
END;
$$;

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

-- Asks for the release of a lock.
CREATE FUNCTION public.lock_request_release(lock bigint, who text, why text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET release_requested_by = who, release_reason = why
        WHERE k.id = lock AND k.state = 'in_force' AND k.kind <> 'compliance' AND btrim(who) <> '' AND btrim(why) <> '';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: this lock cannot be released' USING ERRCODE = 'AL006';
    END IF;
END;
$$;

-- Releases a lock that another person asked to release. For the approver role alone.
CREATE FUNCTION public.lock_release(lock bigint, who text, recorded uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.lock_require_record(recorded, 'auditlog.lock.released', 'lock ' || lock, who);
    UPDATE public.log_locks k SET state = 'released', released_by = who, released_at = clock_timestamp(), released_record = recorded
        WHERE k.id = lock;
END;
$$;

-- Ends a lock whose time is over.
CREATE FUNCTION public.lock_expire(lock bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.log_locks k SET state = 'expired', released_at = clock_timestamp() WHERE k.id = lock AND k.state = 'in_force';
END;
$$;

-- Frees the entries of a lock that has ended, its next leaves at a time; other locks keep what they hold.
CREATE FUNCTION public.lock_lift(lock bigint, leaves integer) RETURNS TABLE (done boolean, freed bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    l public.log_locks;
    head_size bigint;
    changed bigint;
BEGIN
    SELECT k.* INTO l FROM public.log_locks k WHERE k.id = lock AND k.state IN ('released', 'expired')
        AND k.lifted_to < 9223372036854775807 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE public.activity_logs a SET held_by = array_remove(a.held_by, lock) WHERE a.ledger_id = l.ledger_id
        AND a.leaf_index >= l.lifted_to AND a.leaf_index < l.lifted_to + leaves AND a.held_by @> ARRAY[lock];
    GET DIAGNOSTICS changed = ROW_COUNT;
    SELECT h.size INTO head_size FROM public.ledger_heads h WHERE h.ledger_id = l.ledger_id;
    done := l.lifted_to + leaves >= head_size;
    freed := changed;
    UPDATE public.log_locks k SET lifted_to = CASE WHEN done THEN 9223372036854775807 ELSE l.lifted_to + leaves END WHERE k.id = lock;
    RETURN NEXT;
END;
$$;

-- Asks for an override of exactly these entries.
CREATE FUNCTION public.override_request(who text, why text, case_ref text, named uuid[], for_hours integer, also_holds boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint;
BEGIN
    IF (SELECT count(*) FROM public.activity_logs a WHERE a.id = ANY (named) AND a.locked
            AND (a.compliance_until > clock_timestamp()) IS NOT TRUE AND (also_holds OR a.hold_count = 0)) <> cardinality(named) THEN
        RAISE EXCEPTION 'AL006: an override names locked entries, none of them under compliance, and under a hold only if it says so'
            USING ERRCODE = 'AL006';
    END IF;
    INSERT INTO public.lock_overrides (requested_by, reason, case_reference, entries, hours, lifts_holds, state, used_count)
        VALUES (who, why, case_ref, named, for_hours, also_holds, 'requested', 0) RETURNING id INTO made;
    RETURN made;
END;
$$;

-- Approves or denies an override that another person asked for. For the approver role alone.
CREATE FUNCTION public.override_decide(override bigint, who text, approved boolean, recorded uuid) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    o public.lock_overrides;
    ends timestamptz;
BEGIN
    SELECT r.* INTO o FROM public.lock_overrides r WHERE r.id = override AND r.state = 'requested' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: there is no such request to decide' USING ERRCODE = 'AL006';
    END IF;
    PERFORM public.lock_require_record(recorded, CASE WHEN approved THEN 'auditlog.override.approved' ELSE 'auditlog.override.denied' END,
        'override ' || override, who);
    IF NOT approved THEN
        UPDATE public.lock_overrides r SET state = 'denied', decided_by = who, decided_at = clock_timestamp(), decided_record = recorded,
            ended_at = clock_timestamp() WHERE r.id = override;
        RETURN NULL;
    END IF;
    PERFORM FROM public.activity_logs a WHERE a.id = ANY (o.entries) ORDER BY a.ledger_id, a.leaf_index FOR UPDATE;
    IF EXISTS (SELECT FROM public.activity_logs a WHERE a.id = ANY (o.entries) AND (a.compliance_until > clock_timestamp()
            OR (a.hold_count > 0 AND NOT o.lifts_holds) OR a.override_until > clock_timestamp())) THEN
        RAISE EXCEPTION 'AL006: compliance is never overridden, a hold only if that was asked, and no entry twice at a time'
            USING ERRCODE = 'AL006';
    END IF;
    ends := clock_timestamp() + o.hours * interval '1 hour';
    UPDATE public.lock_overrides r SET state = 'approved', decided_by = who, decided_at = clock_timestamp(), decided_record = recorded,
        runs_until = ends WHERE r.id = override;
    UPDATE public.activity_logs a SET override_id = override, override_until = ends WHERE a.id = ANY (o.entries) AND a.locked;
    RETURN ends;
END;
$$;

-- Ends an override, early or because its time is over.
CREATE FUNCTION public.override_end(override bigint) RETURNS text
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

-- Signs off what was done under an override. For the approver role alone.
CREATE FUNCTION public.override_review(override bigint, who text, recorded uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.lock_require_record(recorded, 'auditlog.override.reviewed', 'override ' || override, who);
    UPDATE public.lock_overrides r SET reviewed_by = who, reviewed_at = clock_timestamp(), reviewed_record = recorded
        WHERE r.id = override AND r.state IN ('closed', 'expired') AND r.decided_by IS NOT NULL AND r.reviewed_by IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL006: there is nothing to review' USING ERRCODE = 'AL006';
    END IF;
END;
$$;

-- Sets a policy, enabled or not. For the approver role alone.
CREATE FUNCTION public.policy_set(policy_name text, for_ledger smallint, is_enabled boolean, policy_rule jsonb, policy_scope jsonb,
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
            set_record = excluded.set_record, ledger_id = excluded.ledger_id, next_leaf = CASE
                WHEN (p.rule, p.scope, p.enabled) = (excluded.rule, excluded.scope, excluded.enabled) THEN p.next_leaf
                ELSE excluded.next_leaf END
        RETURNING p.id INTO made;
    RETURN made;
END;
$$;

-- Moves a policy's cursor; nothing comes back if another worker was there before.
CREATE FUNCTION public.policy_advance(policy bigint, from_leaf bigint, to_leaf bigint, was_done text, is_done text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    UPDATE public.lock_policies p SET next_leaf = to_leaf, done = is_done
        WHERE p.id = policy AND p.enabled AND p.next_leaf = from_leaf AND p.done = was_done AND to_leaf >= from_leaf RETURNING p.id INTO moved;
    RETURN moved;
END;
$$;

-- Writes the deadline of a policy of time on the entries of its next leaves, or takes it away if the policy was disabled.
CREATE FUNCTION public.policy_mark(policy bigint, leaves integer) RETURNS TABLE (marked bigint, done boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p public.lock_policies;
    last_leaf bigint;
    changed bigint;
BEGIN
    SELECT k.* INTO p FROM public.lock_policies k WHERE k.id = policy AND k.rule ->> 'kind' IN ('age', 'period') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT greatest(least(h.size, p.next_leaf + leaves), p.next_leaf) INTO last_leaf FROM public.ledger_heads h WHERE h.ledger_id = p.ledger_id;
    UPDATE public.activity_logs a SET locks_at = public.lock_due_at(a) WHERE a.ledger_id = p.ledger_id
        AND a.leaf_index >= p.next_leaf AND a.leaf_index < last_leaf AND a.locks_at IS DISTINCT FROM public.lock_due_at(a);
    GET DIAGNOSTICS changed = ROW_COUNT;
    UPDATE public.lock_policies k SET next_leaf = last_leaf WHERE k.id = policy;
    RETURN QUERY SELECT changed, last_leaf < p.next_leaf + leaves;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.lock_matches(jsonb, public.activity_logs) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_deadline(jsonb, timestamptz) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_due_at(public.activity_logs) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.entry_lock_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.entry_lock_state() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.entry_override_used() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_row_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.override_row_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.policy_row_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_require_record(uuid, text, text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_start(smallint, text, jsonb, text, text, timestamptz, text, bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_apply(bigint, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_extend(bigint, timestamptz) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_refresh(bigint, bigint, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_request_release(bigint, text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_release(bigint, text, uuid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_expire(bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.lock_lift(bigint, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.override_request(text, text, text, uuid[], integer, boolean) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.override_decide(bigint, text, boolean, uuid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.override_end(bigint) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.override_review(bigint, text, uuid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.policy_set(text, smallint, boolean, jsonb, jsonb, text, integer, text, uuid) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.policy_advance(bigint, bigint, bigint, text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.policy_mark(bigint, integer) FROM PUBLIC;

CREATE TRIGGER locked_by_rule BEFORE UPDATE OR DELETE ON public.activity_logs
    FOR EACH ROW EXECUTE FUNCTION public.entry_lock_guard();
CREATE TRIGGER lock_state BEFORE UPDATE ON public.activity_logs FOR EACH ROW
    WHEN (((old.locked IS DISTINCT FROM new.locked) OR (old.held_by IS DISTINCT FROM new.held_by) OR (old.hold_count IS DISTINCT FROM new.hold_count) OR (old.governance_until IS DISTINCT FROM new.governance_until) OR (old.compliance_until IS DISTINCT FROM new.compliance_until) OR (old.locks_at IS DISTINCT FROM new.locks_at) OR (old.override_id IS DISTINCT FROM new.override_id) OR (old.override_until IS DISTINCT FROM new.override_until)))
    EXECUTE FUNCTION public.entry_lock_state();
CREATE TRIGGER born_unlocked AFTER INSERT ON public.activity_logs FOR EACH ROW
    WHEN ((new.locked OR (new.locks_at IS NOT NULL) OR (new.override_id IS NOT NULL))) EXECUTE FUNCTION public.entry_lock_state();
CREATE TRIGGER override_used AFTER UPDATE ON public.activity_logs FOR EACH ROW
    WHEN (((old.leaf_index IS DISTINCT FROM new.leaf_index) AND (old.override_id IS NOT NULL))) EXECUTE FUNCTION public.entry_override_used();
CREATE TRIGGER stronger_only BEFORE INSERT OR UPDATE OR DELETE ON public.log_locks
    FOR EACH ROW EXECUTE FUNCTION public.lock_row_guard();
CREATE TRIGGER stronger_only_truncate BEFORE TRUNCATE ON public.log_locks
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER forward_only BEFORE INSERT OR UPDATE OR DELETE ON public.lock_overrides
    FOR EACH ROW EXECUTE FUNCTION public.override_row_guard();
CREATE TRIGGER forward_only_truncate BEFORE TRUNCATE ON public.lock_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER forward_only BEFORE UPDATE OR DELETE ON public.lock_policies
    FOR EACH ROW EXECUTE FUNCTION public.policy_row_guard();
CREATE TRIGGER forward_only_truncate BEFORE TRUNCATE ON public.lock_policies
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();

ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER locked_by_rule;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER lock_state;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER born_unlocked;
ALTER TABLE public.activity_logs ENABLE ALWAYS TRIGGER override_used;
ALTER TABLE public.log_locks ENABLE ALWAYS TRIGGER stronger_only;
ALTER TABLE public.log_locks ENABLE ALWAYS TRIGGER stronger_only_truncate;
ALTER TABLE public.lock_overrides ENABLE ALWAYS TRIGGER forward_only;
ALTER TABLE public.lock_overrides ENABLE ALWAYS TRIGGER forward_only_truncate;
ALTER TABLE public.lock_policies ENABLE ALWAYS TRIGGER forward_only;
ALTER TABLE public.lock_policies ENABLE ALWAYS TRIGGER forward_only_truncate;
