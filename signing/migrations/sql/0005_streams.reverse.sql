DROP FUNCTION public.ledger_begin(smallint);

-- AL001: a head only moves forward. Its size and frontier come from ledger_append, which no other role can be.
CREATE OR REPLACE FUNCTION public.ledger_head_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.ledger_id = OLD.ledger_id AND NEW.size > OLD.size THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'AL001: % on ledger_heads is refused: a ledger only grows', TG_OP
        USING ERRCODE = 'AL001', DETAIL = json_build_object('rule', 'AL001', 'table', TG_TABLE_NAME, 'operation', TG_OP)::text;
END;
$$;

-- AL003: a row belongs to its ledger: SHA-256(0x00 || record) is the leaf stored at its index, and the ledger is of
-- the kind that the trigger names. Leaves are compared in runs, one tile at a time.
-- Hashed before they are sorted (OFFSET keeps it so): the sort then moves hashes, not records.
CREATE OR REPLACE FUNCTION public.in_ledger_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stray record;
BEGIN
    SELECT runs.ledger_id, runs.first_leaf INTO stray FROM (
        SELECT i.ledger_id, min(i.leaf_index) AS first_leaf, max(i.leaf_index) AS last_leaf, count(*) AS leaves,
               string_agg(i.hash, ''::bytea ORDER BY i.leaf_index) AS hashes
        FROM (SELECT n.ledger_id, n.leaf_index, sha256('\x00'::bytea || n.record) AS hash FROM inserted n OFFSET 0) i
        GROUP BY i.ledger_id, i.leaf_index >> 8
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
-- Works level by level, as in adding binary numbers: a subtree left over from before goes in front, an odd one at the
-- end stays on the frontier, the pairs between them become the next level. One statement a level, not one a leaf.
CREATE OR REPLACE FUNCTION public.ledger_append(for_ledger smallint, leaf_hashes bytea, key_ids text[])
RETURNS TABLE (first_leaf bigint, new_size bigint, new_frontier bytea[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added integer := octet_length(leaf_hashes) / 32;
    start bigint;
    peaks bytea[];
    depth integer;
    kept bytea[] := '{}';
    height integer := 0;
    nodes bytea := leaf_hashes;
    width integer := added;
    before_them bigint;
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
    before_them := start;
    LOOP
        IF height & 7 = 0 THEN
            PERFORM public.ledger_keep_nodes(for_ledger, height >> 3, before_them, nodes);
        END IF;
        IF before_them & 1 = 1 THEN
            nodes := peaks[depth] || nodes;
            width := width + 1;
            depth := depth - 1;
        END IF;
        IF width & 1 = 1 THEN
            kept := substring(nodes FROM (width - 1) * 32 + 1) || kept;
        END IF;
        width := width >> 1;
        EXIT WHEN width = 0;
        IF width = 1 THEN
            nodes := sha256('\x01'::bytea || substring(nodes FOR 64));
        ELSE
            nodes := (SELECT string_agg(sha256('\x01'::bytea || substring(nodes FROM i * 64 + 1 FOR 64)), ''::bytea ORDER BY i)
                      FROM generate_series(0, width - 1) i);
        END IF;
        before_them := before_them >> 1;
        height := height + 1;
    END LOOP;
    peaks := peaks[1:depth] || kept;
    UPDATE public.ledger_heads h SET size = start + added, frontier = peaks WHERE h.ledger_id = for_ledger;
    RETURN QUERY SELECT start, start + added, peaks;
END;
$$;
