// The checks of what an export says: manifest, records, proof, checkpoint, entry signatures, CSV and JSON; steps and
// words as in exports/verifier/contents.py. Works on a container or on loose files: { has, size, read, pieces }.

const [CHECKPOINT_NAME, JWKS_NAME, VKEYS_NAME] = ["checkpoint", "keys/jwks.json", "keys/checkpoint.vkeys"];
const [MANIFEST_NAME, CLAIM_NAME, REPORT_NAME, VERIFY_NAME] = ["manifest.json", "claim.json", "report.pdf", "VERIFY.md"];
const [SIGNER_NAME, ISSUERS_NAME] = ["certificates/signer.pem", "certificates/issuers.pem"];
const FORMAT_CHECKS = { [CSV_NAME]: CSV, [ACCESSES_NAME]: CSV, [JSON_NAME]: JSON_DOCUMENT, [NDJSON_NAME]: RECORDS };

async function checkManifest(raw, report) {
  const manifest = await report.step(MANIFEST, () => parsedManifest(raw));
  if (manifest) {
    const { claim } = manifest;
    const said = Object.entries(claim.filters).sort(([one], [other]) => compareTexts(one, other));
    const filter = said.map(([name, value]) => `${name}=${value}`).join(", ") || "none";
    report.note(MANIFEST, `exported by ${claim.exported_by} at ${claim.exported_at}, purpose: ${claim.purpose}`);
    report.note(MANIFEST, `filter: ${filter}; ledger ${claim.ledger} at ${claim.ledger_size} leaves`);
  }
  return manifest;
}

/** Check everything that rows, proof, checkpoint and keys say. `claim` is null where there is none. */
async function checkContents(files, report, pins, claim) {
  const source = ROW_FILES.find((name) => files.has(name));
  const head = await checkCheckpoint(files, report, pins, claim);
  if (!source) {
    if (claim) report.notChecked(RECORDS, "there are no rows here: the records are in another file");
    return;
  }
  const jwks = files.has(JWKS_NAME) ? await files.read(JWKS_NAME) : null;
  const rows = new Rows(files, source, () => (jwks ? entryKeysOf(jwks) : pins.entryKeys), claim);
  const proved = files.has(PROOF_NAME) ? await checkProof(files, report, rows) : null;
  while ((await rows.next()) !== null); // what a broken proof left unread
  if (rows.broken) {
    report.wrong(FORMAT_CHECKS[source], `${source} cannot be read: ${rows.broken}`);
    return;
  }
  checkRows(report, rows);
  checkClaim(report, rows, claim);
  checkTree(report, proved, head, claim);
  await report.step(ENTRY_SIGNATURES, async () => checkSignatures(report, rows, pins, await rows.readKeys()));
  await checkFormats(files, report, rows, claim);
}

/** The rows of the first format that is there: read once, in batches; everything that they come to is added up here. */
class Rows {
  constructor(files, source, readKeys, claim) {
    this.source = source;
    this.readKeys = readKeys;
    this.keys = null;
    this.ledger = claim ? claim.ledger : null;
    this.named = claim ? namedLeavesOf(claim) : null;
    this.unnamed = 0;
    this.batches = splitRows(source, files.pieces(source));
    this.rendered = new Map();
    for (const name of [source, ...ROW_FILES.filter((one) => one !== source && files.has(one))]) {
      this.rendered.set(name, new Sha256().update(bytesOf(FORMATS[name].header)));
    }
    this.dataset = new Sha256();
    [this.entries, this.firstLeaf, this.lastLeaf, this.inOrder] = [0, null, null, true];
    [this.verdicts, this.unknownKeys, this.uncheckable] = [new Counter(), new Counter(), new Counter()];
    this.right = new Counter(); // signatures, by key
    [this.faults, this.faultCount, this.broken] = [[], 0, ""];
    [this.leaves, this.at] = [[], 0];
  }

  /** The next leaf ({ leafIndex, hash, isMarked }), or null after the last, and where the rows cannot be read on. */
  async next() {
    while (this.at === this.leaves.length) {
      if (this.broken) return null;
      try {
        const { done, value } = await this.batches.next();
        if (done) return null;
        await this.take(value);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.broken = error.message;
        return null;
      }
    }
    return this.leaves[this.at++];
  }

  async take(lines) {
    this.keys ??= await this.readKeys();
    const rows = lines.map((line) => FORMATS[this.source].parsed(line));
    for (const [name, hash] of this.rendered) {
      const { separator, rows: written } = FORMATS[name];
      rows.forEach((row, place) => {
        if (separator && this.entries + place) hash.update(bytesOf(separator));
        hash.update(written(row));
      });
    }
    const found = await Promise.all(
      rows.map((row) => (isSound(row.verdict) ? faultOf(row, this.keys, this.ledger, this) : null)),
    );
    rows.forEach((row, place) => this.add(row, found[place]));
    const marked = (row) => MAY_DIFFER.includes(row.verdict);
    this.leaves = rows.map((row) => ({ leafIndex: row.leafIndex, hash: leafHash(row.record), isMarked: marked(row) }));
    this.at = 0;
  }

  add(row, fault) {
    this.inOrder &&= row.leafIndex > (this.lastLeaf ?? -1);
    this.firstLeaf ??= row.leafIndex;
    this.lastLeaf = row.leafIndex;
    this.entries++;
    if (this.named && !this.named.has(String(row.leafIndex))) this.unnamed++;
    this.verdicts.count(row.verdict);
    this.dataset.update(row.record).update(NEWLINE);
    if (fault === null) return;
    this.faultCount++;
    if (this.faults.length < MAX_EXAMPLES) this.faults.push(`leaf ${row.leafIndex}: ${fault}`);
  }
}

async function checkProof(files, report, rows) {
  try {
    return await verifiedProof(new ProofLines(files.pieces(PROOF_NAME)), rows);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (!rows.broken) report.wrong(PROOFS, error.message);
    return null;
  }
}

function checkRows(report, rows) {
  if (!rows.inOrder) report.wrong(RECORDS, `the rows of ${rows.source} are not in the order of their leaves, each once`);
  if (rows.faultCount) report.wrong(RECORDS, examples(rows.faults, rows.faultCount));
  if (rows.inOrder && !rows.faultCount) {
    report.ok(RECORDS, `${rows.entries} records, each in its one spelling and in order`);
  }
  const marked = rows.verdicts.sorted().filter(([verdict]) => !isSound(verdict));
  const total = marked.reduce((sum, [, count]) => sum + count, 0);
  if (total) {
    const said = marked.map(([verdict, count]) => `${count} ${verdict}`).join(", ");
    const what = ["removed", "erased"].some((one) => rows.verdicts.has(one)) ? "did not verify or had been removed" : "did not verify";
    report.cannotTell(MARKED, `the export itself says that ${total} entries ${what}: ${said}`);
  }
}

function checkClaim(report, rows, claim) {
  if (!claim) {
    report.notChecked(MANIFEST, "there is no manifest here: that these are all rows, and whose, is not known");
    return;
  }
  const digest = toHex(rows.dataset.digest());
  const verdicts = Object.fromEntries(rows.verdicts);
  const misfits = [
    ["number of entries", rows.entries, claim.entries],
    ["first leaf", rows.firstLeaf, claim.first_leaf],
    ["last leaf", rows.lastLeaf, claim.last_leaf],
    ["set of leaves", rows.unnamed, 0],
    ["verdicts", spelledJson(verdicts), spelledJson(claim.verdicts)],
    ["dataset digest", digest, claim.dataset_digest],
  ].filter(([, here, claimed]) => here !== claimed);
  if (misfits.length) {
    const said = misfits.map(([what]) => what).join(", another ");
    report.wrong(MANIFEST, `the rows are not those of the manifest: another ${said}`);
  } else {
    report.ok(MANIFEST, `the rows are the ${claim.entries} that it names; dataset digest ${digest}`);
  }
}

function checkTree(report, proved, head, claim) {
  if (!proved) {
    if (!report.has(PROOFS)) report.notChecked(PROOFS, "there is no proof here that the records are in the ledger");
    return;
  }
  const about = proved.head;
  const root = toHex(proved.root);
  const range = (span) => (span ? span.join(" ") : "-");
  if (claim && (about.origin !== claim.origin || about.size !== claim.ledger_size || range(about.completeRange) !== range(claim.complete_range))) {
    report.wrong(PROOFS, "the proof is about another ledger, size or range than the manifest");
  } else if (claim && root !== claim.root) {
    report.wrong(PROOFS, "with these records the proof does not lead to the root that the manifest names");
  } else if (head && (about.origin !== head.origin || about.size !== head.size || root !== toHex(head.root))) {
    report.wrong(PROOFS, "with these records the proof does not lead to the root of the checkpoint");
  } else if (!head && !claim) {
    report.cannotTell(PROOFS, `it leads to the root ${root}, and no checkpoint here says if it is right`);
  } else {
    report.ok(PROOFS, provedText(proved));
  }
}

function provedText({ head, exported, mismatched, withheld }) {
  let said = `${exported - mismatched} entries are leaves of the tree of ${head.size}`;
  if (mismatched) {
    said += `; the records of ${mismatched} more, which are marked, are not what the tree has in their places`;
  }
  if (!head.completeRange) return `${said}; no range is claimed to be complete`;
  const [first, end] = head.completeRange;
  const none = mismatched ? "none is left out" : "none is missing";
  return `${said}; of the leaves ${first} to ${end - 1} ${none}, ${withheld} are here as hashes only`;
}

/** Returns the checkpoint if nothing is wrong with it, otherwise null. */
async function checkCheckpoint(files, report, pins, claim) {
  if (!files.has(CHECKPOINT_NAME)) {
    if (claim || files.has(PROOF_NAME)) {
      report.notChecked(CHECKPOINT, "there is no checkpoint here: that the log had this root is not known");
    }
    return null;
  }
  let head = null;
  return report.step(CHECKPOINT, async () => {
    head = parsedNote(textOf(await files.read(CHECKPOINT_NAME)));
    if (claim && (head.origin !== claim.origin || head.size !== claim.ledger_size || toHex(head.root) !== claim.root)) {
      throw new Refusal("it is not the one that the manifest names: another ledger, size or root");
    }
    const pinned = keysForOrigin(pins.checkpointKeys, head.origin);
    const own = files.has(VKEYS_NAME) ? parsedVkeys(textOf(await files.read(VKEYS_NAME))) : [];
    const known = pinned.length ? pinned : keysForOrigin(own, head.origin);
    if (!known.length) {
      report.cannotTell(CHECKPOINT, "no checkpoint key of this log is pinned (trust.vkeys)");
      return head;
    }
    await requireSigned(head, known);
    if (pinned.length) report.ok(CHECKPOINT, `a pinned key signed the root of ${head.size} leaves of ${head.origin}`);
    else report.cannotTell(CHECKPOINT, "signed by a key that the export brings with it; pin the key of the log (trust.vkeys)");
    return head;
  });
}

function checkSignatures(report, rows, pins, brought) {
  if (rows.unknownKeys.size) {
    const said = [...rows.unknownKeys.keys()].sort(compareTexts).slice(0, MAX_EXAMPLES).join(", ");
    report.cannotTell(ENTRY_SIGNATURES, `${rows.unknownKeys.total()} entries are signed by keys that are not here: ${said}`);
  }
  if (rows.uncheckable.size) {
    const said = rows.uncheckable.sorted().map(([alg]) => alg).join(", ");
    report.notChecked(ENTRY_SIGNATURES, `${rows.uncheckable.total()} signatures by ${said}: ${ELSEWHERE}`);
  }
  const changed = [...brought].filter(([kid, key]) => pins.entryKeys.has(kid) && pins.entryKeys.get(kid).jwk !== key.jwk);
  if (changed.length) {
    const said = changed.map(([kid]) => kid).sort(compareTexts).join(", ");
    report.wrong(ENTRY_SIGNATURES, `keys in the export are not the pinned ones: ${said}`);
    return;
  }
  const strange = new Counter([...rows.right].filter(([kid]) => !pins.entryKeys.has(kid)));
  const pinned = rows.right.total() - strange.total();
  if (pinned) report.ok(ENTRY_SIGNATURES, `${pinned} entries are signed by pinned keys`);
  if (strange.size) {
    const whose = examples(strange.sorted().map(([kid]) => kid), strange.size);
    const text = `${strange.total()} are right, by keys that the export brings with it: ${whose}; pin them (jwks.json)`;
    report.cannotTell(ENTRY_SIGNATURES, text);
  }
  // What signed nothing here is not relied upon: after a rotation the log publishes keys that nobody pinned yet. But
  // whoever takes his next pins out of an export would rely on it.
  const idle = [...brought.keys()].filter((kid) => !rows.right.has(kid) && !pins.entryKeys.has(kid)).sort(compareTexts);
  if (pins.entryKeys.size && idle.length) {
    const said = examples(idle, idle.length);
    report.note(ENTRY_SIGNATURES, `keys in the export that signed nothing here and are not pinned: ${said}`);
  }
}

async function checkFormats(files, report, rows, claim) {
  for (const [name, expected] of rows.rendered) {
    if (name === JSON_NAME && !claim) {
      report.notChecked(JSON_DOCUMENT, "without a manifest its claim is compared with nothing");
      continue;
    }
    if (claim) expected.update(bytesOf(FORMATS[name].footer(claim)));
    if (!same(await sha256Of(files.pieces(name)), expected.digest())) {
      const against = name === rows.source ? "its own records" : "the records";
      report.wrong(FORMAT_CHECKS[name], `${name} does not say what ${against} say`);
    } else if (name !== NDJSON_NAME) {
      report.ok(FORMAT_CHECKS[name], `${name} says exactly what the records say`);
    }
  }
}
