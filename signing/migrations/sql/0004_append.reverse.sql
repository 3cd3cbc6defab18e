DROP FUNCTION public.ledger_keep_nodes(smallint, integer, bigint, bytea);

-- AL003: a row belongs to its ledger: SHA-256(0x00 || record) is the leaf stored at its index, and the ledger is of
-- the kind that the trigger names. Leaves are compared in runs, one tile at a time.
CREATE OR REPLACE FUNCTION public.in_ledger_guard() RETURNS trigger
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

-- AL004: the only writer of leaves, tiles and heads. Appends 32-byte leaf hashes and returns where they stand; returns
-- no row, having changed nothing but taken the lock, if one of the keys is not active any more: the caller signs anew.
CREATE OR REPLACE FUNCTION public.ledger_append(for_ledger smallint, leaf_hashes bytea, key_ids text[])
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
