-- AL001: rows of an append-only table are never changed or removed.
CREATE FUNCTION public.append_only_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'AL001: % on % is refused: its rows are append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL001: a head only moves forward. Its size and frontier come from ledger_append, which no other role can be.
CREATE FUNCTION public.ledger_head_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.ledger_id = OLD.ledger_id AND NEW.size > OLD.size THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL001: % on ledger_heads is refused: a ledger only grows', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL001: a waiting hash goes only when its tile holds it.
CREATE FUNCTION public.ledger_node_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.hash = (
        SELECT substring(t.hashes FROM (OLD.node_index & 255)::integer * 32 + 1 FOR 32) FROM public.ledger_tiles t
        WHERE t.ledger_id = OLD.ledger_id AND t.level = OLD.level AND t.tile_index = OLD.node_index >> 8
    ) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'AL001: % on ledger_nodes is refused: the hash is in no tile yet', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL001: the newest checkpoint may give way to a later one of the same ledger; none is removed or set back.
CREATE FUNCTION public.ledger_checkpoint_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.ledger_id = OLD.ledger_id
        AND (NEW.size > OLD.size OR (NEW.size = OLD.size AND NEW.root = OLD.root)) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL001: % on ledger_checkpoints is refused: checkpoints only move forward', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL003: a row belongs to its ledger: SHA-256(0x00 || record) is the leaf stored at its index, and the ledger is of
-- the kind that the trigger names. Leaves are compared in runs, one tile at a time.
CREATE FUNCTION public.in_ledger_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stray record;
BEGIN
    SELECT runs.ledger_id, runs.first_leaf INTO stray FROM (
        SELECT i.ledger_id, min(i.leaf_index) AS first_leaf, max(i.leaf_index) AS last_leaf, count(*) AS leaves,
               string_agg(sha256('\x00'::bytea || i.record), ''::bytea ORDER BY i.leaf_index) AS hashes
        FROM inserted i GROUP BY i.ledger_id, i.leaf_index >> 8
    ) runs
    WHERE runs.last_leaf - runs.first_leaf + 1 <> runs.leaves
       OR runs.hashes IS DISTINCT FROM public.ledger_leaf_hashes(runs.ledger_id, runs.first_leaf, runs.leaves::integer)
       OR NOT EXISTS (SELECT FROM public.ledgers l WHERE l.id = runs.ledger_id AND l.kind = TG_ARGV[0])
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'AL003: a row of % is not the leaf that its ledger holds', TG_TABLE_NAME
            USING ERRCODE = 'AL003', DETAIL = json_build_object('rule', 'AL003', 'table', TG_TABLE_NAME,
                'ledger_id', stray.ledger_id, 'first_leaf', stray.first_leaf)::text;
    END IF;
    RETURN NULL;
END;
$$;

-- The stored leaf hashes of a run of leaves, concatenated. The run must not cross a multiple of 256.
CREATE FUNCTION public.ledger_leaf_hashes(for_ledger smallint, first_leaf bigint, leaves integer) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT substring(t.hashes FROM (first_leaf & 255)::integer * 32 + 1 FOR leaves * 32) FROM public.ledger_tiles t
         WHERE t.ledger_id = for_ledger AND t.level = 0 AND t.tile_index = first_leaf >> 8),
        (SELECT string_agg(n.hash, ''::bytea ORDER BY n.node_index) FROM public.ledger_nodes n
         WHERE n.ledger_id = for_ledger AND n.level = 0 AND n.node_index >= first_leaf AND n.node_index < first_leaf + leaves)
    );
$$;

-- AL004: a ledger is opened once, empty; keys that are active then may sign in it from its first leaf.
CREATE FUNCTION public.ledger_open(ledger_name text, ledger_origin text, ledger_kind text) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened smallint;
BEGIN
    IF ledger_name !~ '^[a-z0-9][a-z0-9-]{0,62}$' OR ledger_kind NOT IN ('activity', 'meta', 'keys') THEN
        RAISE EXCEPTION 'AL004: no ledger can have this name or kind' USING ERRCODE = 'AL004';
    END IF;
    INSERT INTO public.ledgers (name, origin, kind) VALUES (ledger_name, ledger_origin, ledger_kind) RETURNING id INTO opened;
    INSERT INTO public.ledger_heads (ledger_id, size, frontier) VALUES (opened, 0, '{}');
    INSERT INTO public.signing_key_windows (key_id, ledger_id, first_leaf)
        SELECT k.id, opened, 0 FROM public.signing_keys k WHERE k.state = 'active';
    RETURN opened;
END;
$$;

-- Locks the heads of all ledgers in the order in which transactions take them, so that a key changes between appends.
CREATE FUNCTION public.ledger_lock_all() RETURNS TABLE (ledger_id smallint, size bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    turn record;
BEGIN
    FOR turn IN SELECT l.id FROM public.ledgers l
        ORDER BY array_position(ARRAY['keys', 'activity', 'meta'], l.kind::text), l.name LOOP
        RETURN QUERY SELECT h.ledger_id, h.size FROM public.ledger_heads h WHERE h.ledger_id = turn.id FOR UPDATE;
    END LOOP;
END;
$$;

-- AL004: the only writer of leaves, tiles and heads. Appends 32-byte leaf hashes and returns where they stand; returns
-- no row, having changed nothing but taken the lock, if one of the keys is not active any more: the caller signs anew.
CREATE FUNCTION public.ledger_append(for_ledger smallint, leaf_hashes bytea, key_ids text[])
RETURNS TABLE (first_leaf bigint, new_size bigint, new_frontier bytea[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added integer := octet_length(leaf_hashes) / 32;
    start bigint;
    next_leaf bigint;
    peaks bytea[];
    depth integer;
    node bytea;
    climbed bigint;
    height integer;
    tile_roots bytea[];
    tile_from bigint;
    tier integer;
BEGIN
    IF added IS NULL OR added = 0 OR octet_length(leaf_hashes) <> added * 32 THEN
        RAISE EXCEPTION 'AL004: leaf hashes must be a multiple of 32 bytes, and not none' USING ERRCODE = 'AL004';
    END IF;
    SELECT h.size, h.frontier INTO start, peaks FROM public.ledger_heads h WHERE h.ledger_id = for_ledger FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'AL004: there is no such ledger' USING ERRCODE = 'AL004';
    END IF;
    -- A new snapshot, taken after the lock: a rotation that came between is seen.
    IF EXISTS (SELECT FROM unnest(key_ids) wanted (id) WHERE NOT EXISTS (
            SELECT FROM public.signing_keys k WHERE k.id = wanted.id AND k.state = 'active' AND k.purpose = 'entry')) THEN
        RETURN;
    END IF;
    depth := cardinality(peaks);
    next_leaf := start;
    WHILE next_leaf < start + added LOOP
        node := substring(leaf_hashes FROM (next_leaf - start)::integer * 32 + 1 FOR 32);
        climbed := next_leaf;
        height := 0;
        WHILE climbed & 1 = 1 LOOP
            node := sha256('\x01'::bytea || peaks[depth] || node);
            depth := depth - 1;
            climbed := climbed >> 1;
            height := height + 1;
            IF height & 7 = 0 THEN
                tile_roots[height >> 3] := node;
            END IF;
        END LOOP;
        depth := depth + 1;
        peaks[depth] := node;
        next_leaf := next_leaf + 1;
        IF next_leaf & 255 = 0 THEN
            -- This leaf completed a tile of leaves; its root may complete a tile of the next level, and so on.
            tile_from := greatest(start, next_leaf - 256);
            INSERT INTO public.ledger_tiles (ledger_id, level, tile_index, hashes)
            SELECT for_ledger, 0, (next_leaf - 1) >> 8,
                   coalesce((SELECT string_agg(n.hash, ''::bytea ORDER BY n.node_index) FROM public.ledger_nodes n
                             WHERE n.ledger_id = for_ledger AND n.level = 0 AND n.node_index >= next_leaf - 256), ''::bytea)
                   || substring(leaf_hashes FROM (tile_from - start)::integer * 32 + 1 FOR (next_leaf - tile_from)::integer * 32);
            DELETE FROM public.ledger_nodes n WHERE n.ledger_id = for_ledger AND n.level = 0 AND n.node_index < next_leaf;
            tier := 1;
            climbed := next_leaf >> 8;
            LOOP
                INSERT INTO public.ledger_nodes (ledger_id, level, node_index, hash)
                    VALUES (for_ledger, tier, climbed - 1, tile_roots[tier]);
                EXIT WHEN climbed & 255 <> 0;
                INSERT INTO public.ledger_tiles (ledger_id, level, tile_index, hashes)
                SELECT for_ledger, tier, (climbed - 1) >> 8, string_agg(n.hash, ''::bytea ORDER BY n.node_index)
                FROM public.ledger_nodes n WHERE n.ledger_id = for_ledger AND n.level = tier;
                DELETE FROM public.ledger_nodes n WHERE n.ledger_id = for_ledger AND n.level = tier;
                tier := tier + 1;
                climbed := climbed >> 8;
            END LOOP;
        END IF;
    END LOOP;
    tile_from := greatest(start, next_leaf & ~255::bigint);
    INSERT INTO public.ledger_nodes (ledger_id, level, node_index, hash)
    SELECT for_ledger, 0, i, substring(leaf_hashes FROM (i - start)::integer * 32 + 1 FOR 32)
    FROM generate_series(tile_from, next_leaf - 1) i;
    peaks := peaks[1:depth];
    UPDATE public.ledger_heads h SET size = next_leaf, frontier = peaks WHERE h.ledger_id = for_ledger;
    RETURN QUERY SELECT start, next_leaf, peaks;
END;
$$;

-- AL004: keeps a signed checkpoint of a size that the ledger has reached and returns the newest one, which may be
-- another's that covers more. Within a minute the newest replaces its predecessor, so that storage stays small; but not
-- one that other keys signed: what an old and a new key signed together is the only bridge from the one to the other.
-- Returns no row, having kept nothing, unless exactly the active checkpoint keys signed: the caller signs anew.
CREATE FUNCTION public.checkpoint_store(
    for_ledger smallint, at_size bigint, tree_root bytea, signed_note text, signed_by text[])
RETURNS TABLE (size bigint, note text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest public.ledger_checkpoints;
    kept_before timestamptz;
BEGIN
    IF at_size > (SELECT h.size FROM public.ledger_heads h WHERE h.ledger_id = for_ledger) IS NOT FALSE
        OR octet_length(tree_root) <> 32 OR octet_length(signed_note) > 65536 THEN
        RAISE EXCEPTION 'AL004: the ledger has not reached the size of this checkpoint' USING ERRCODE = 'AL004';
    END IF;
    IF signed_by IS DISTINCT FROM ARRAY(SELECT k.id::text FROM public.signing_keys k
            WHERE k.purpose = 'checkpoint' AND k.state = 'active' ORDER BY k.id COLLATE "C") THEN
        RETURN;
    END IF;
    SELECT c.* INTO newest FROM public.ledger_checkpoints c WHERE c.ledger_id = for_ledger ORDER BY c.size DESC LIMIT 1 FOR UPDATE;
    IF newest.size = at_size AND newest.root <> tree_root THEN
        RAISE EXCEPTION 'AL004: another root was signed for this size' USING ERRCODE = 'AL004';
    END IF;
    IF newest.size > at_size THEN
        RETURN QUERY SELECT newest.size, newest.note;
        RETURN;
    END IF;
    SELECT c.signed_at INTO kept_before FROM public.ledger_checkpoints c
        WHERE c.ledger_id = for_ledger AND c.size < newest.size ORDER BY c.size DESC LIMIT 1;
    IF newest.size = at_size OR (kept_before > clock_timestamp() - interval '1 minute' AND newest.key_ids::text[] = signed_by) THEN
        UPDATE public.ledger_checkpoints c
            SET size = at_size, root = tree_root, note = signed_note, key_ids = signed_by, signed_at = clock_timestamp()
            WHERE c.ledger_id = for_ledger AND c.size = newest.size;
    ELSE
        INSERT INTO public.ledger_checkpoints (ledger_id, size, root, note, key_ids, signed_at)
            VALUES (for_ledger, at_size, tree_root, signed_note, signed_by, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY SELECT at_size, signed_note;
END;
$$;

REVOKE EXECUTE ON FUNCTION public.append_only_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_head_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_node_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_checkpoint_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.in_ledger_guard() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_leaf_hashes(smallint, bigint, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_open(text, text, text) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_lock_all() FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.ledger_append(smallint, bytea, text[]) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION public.checkpoint_store(smallint, bigint, bytea, text, text[]) FROM PUBLIC;

ALTER TABLE public.ledger_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
ALTER TABLE public.ledger_heads SET (fillfactor = 50);
ALTER TABLE public.ledger_checkpoints SET (fillfactor = 50);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.ledgers
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.ledgers
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER forward_only BEFORE UPDATE OR DELETE ON public.ledger_heads
    FOR EACH ROW EXECUTE FUNCTION public.ledger_head_guard();
CREATE TRIGGER forward_only_truncate BEFORE TRUNCATE ON public.ledger_heads
    FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_head_guard();
CREATE TRIGGER into_tile_only BEFORE UPDATE OR DELETE ON public.ledger_nodes
    FOR EACH ROW EXECUTE FUNCTION public.ledger_node_guard();
CREATE TRIGGER into_tile_only_truncate BEFORE TRUNCATE ON public.ledger_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_node_guard();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON public.ledger_tiles
    FOR EACH ROW EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON public.ledger_tiles
    FOR EACH STATEMENT EXECUTE FUNCTION public.append_only_guard();
CREATE TRIGGER forward_only BEFORE UPDATE OR DELETE ON public.ledger_checkpoints
    FOR EACH ROW EXECUTE FUNCTION public.ledger_checkpoint_guard();
CREATE TRIGGER forward_only_truncate BEFORE TRUNCATE ON public.ledger_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_checkpoint_guard();

ALTER TABLE public.ledgers ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.ledgers ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.ledger_heads ENABLE ALWAYS TRIGGER forward_only;
ALTER TABLE public.ledger_heads ENABLE ALWAYS TRIGGER forward_only_truncate;
ALTER TABLE public.ledger_nodes ENABLE ALWAYS TRIGGER into_tile_only;
ALTER TABLE public.ledger_nodes ENABLE ALWAYS TRIGGER into_tile_only_truncate;
ALTER TABLE public.ledger_tiles ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE public.ledger_tiles ENABLE ALWAYS TRIGGER append_only_truncate;
ALTER TABLE public.ledger_checkpoints ENABLE ALWAYS TRIGGER forward_only;
ALTER TABLE public.ledger_checkpoints ENABLE ALWAYS TRIGGER forward_only_truncate;
