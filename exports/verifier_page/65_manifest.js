// What an export says of itself: claim.json, and manifest.json, which is the claim with the list of files. Both have one
// spelling, and the claim's sentences follow from its numbers, as in exports/manifest.py.

const [FIRST_CLAIM, SECOND_CLAIM] = ["auditlog-export-claim/1", "auditlog-export-claim/2"];
const MANIFEST_FORMAT = "auditlog-export-manifest/1";
const MAY_DIFFER = ["tampered", "missing"]; // verdicts of entries whose record may be another one than the leaf
const MEANINGS = {
  tampered: "Something of it was changed after it was recorded; it is exported as it was found.",
  missing: "The ledger has its leaf, and the entry was gone; only its place is exported.",
  untrusted_key: "Its record is the leaf, and the key that signed it is not trusted for it.",
  removed: "What stood there was removed under a recorded decision, which its record tells.",
  erased: "Its personal data were erased under a recorded decision; the rest is as it was recorded.",
  cannot_tell: "Nothing wrong was found, and something that is needed to be sure was not there.",
};
const HASH = /^[0-9a-f]{64}$/;
const CLAIM_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const NAMED_LEAVES = "leaf_indexes"; // a filter
const LEAF_LIST = /^[0-9]{1,19}(,[0-9]{1,19})*$/;
const isText = (value) => typeof value === "string";
const isNumber = (value) => Number.isSafeInteger(value);
const orNull = (isKind) => (value) => value === null || isKind(value);
const CLAIM_MEMBERS = {
  export_id: isText,
  exported_at: isText,
  exported_by: isText,
  purpose: isText,
  case: isText,
  filters: isObject,
  ledger: isText,
  origin: isText,
  ledger_size: isNumber,
  root: isText,
  entries: isNumber,
  first_leaf: orNull(isNumber),
  last_leaf: orNull(isNumber),
  complete_range: orNull((value) => Array.isArray(value) && value.length === 2 && value.every(isNumber)),
  withheld: orNull(isNumber),
  dataset_digest: isText,
  verdicts: isObject,
  software: isText,
  signer_certificate_sha256: isText,
  time_stamp_authority: orNull(isText),
  redaction: orNull(isText),
  order: isText,
  hash_algorithm: isText,
};

/** The value of JSON in its one spelling. Throws Refusal. */
function parsedCanonicalJson(raw) {
  const value = parsedJson(textOf(raw));
  if (!same(bytesOf(`${spelledJson(value)}\n`), raw)) throw new Refusal("not in the one spelling of this format");
  return value;
}

/** The claim of its members. Throws Refusal for what cannot be. */
function checkedClaim(said) {
  if (!isObject(said) || ![FIRST_CLAIM, SECOND_CLAIM].includes(said.format)) {
    throw new Refusal(`claim: neither of the format ${FIRST_CLAIM} nor ${SECOND_CLAIM}`);
  }
  for (const [name, isKind] of Object.entries(CLAIM_MEMBERS)) {
    if (!isKind(said[name])) throw new Refusal(`claim: ${name} is not of its kind`);
  }
  for (const name of ["root", "dataset_digest", "signer_certificate_sha256"]) {
    if (!HASH.test(said[name])) throw new Refusal(`claim: ${name} is not 64 hexadecimal digits`);
  }
  if (!CLAIM_TIME.test(said.exported_at)) throw new Refusal("claim: exported_at is not a time in UTC with six digits");
  if (said.order !== "leaf_index" || said.hash_algorithm !== "SHA-256") {
    throw new Refusal("claim: this format knows the order leaf_index and SHA-256 alone");
  }
  if (!Object.values(said.filters).every(isText)) throw new Refusal("claim: filters maps texts to str");
  if (!LEAF_LIST.test(said.filters[NAMED_LEAVES] ?? "0")) throw new Refusal(`claim: ${NAMED_LEAVES} is no list of leaves`);
  if (!Object.values(said.verdicts).every(isNumber)) throw new Refusal("claim: verdicts maps texts to int");
  requireNumbers(said);
  const members = Object.fromEntries(Object.keys(CLAIM_MEMBERS).map((name) => [name, said[name]]));
  const format = markedOf(said) ? said.format : FIRST_CLAIM;
  const expected = { format, ...members, claims: claimsOf(said), claims_not: claimsNotOf(said) };
  if (spelledJson(expected) !== spelledJson(said)) {
    throw new Refusal("claim: unknown or missing members, or other words than its numbers say");
  }
  return said;
}

function requireNumbers(claim) {
  const [first, end] = claim.complete_range ?? [0, claim.ledger_size];
  const { entries, first_leaf: firstLeaf, last_leaf: lastLeaf } = claim;
  const verdicts = Object.values(claim.verdicts);
  let inside = first >= 0 && first <= end && end <= claim.ledger_size;
  if (entries) {
    if (firstLeaf === null || lastLeaf === null) throw new Refusal("claim: there are entries, but no first and last leaf");
    inside = inside && first <= firstLeaf && firstLeaf <= lastLeaf && lastLeaf < end && entries <= lastLeaf - firstLeaf + 1;
  } else if (firstLeaf !== null || lastLeaf !== null) {
    throw new Refusal("claim: there is no entry, but a first or last leaf");
  }
  const named = namedLeavesOf(claim);
  inside = inside && (named === null || (claim.complete_range === null && entries === named.size));
  const withheld = claim.complete_range === null ? null : end - first - entries;
  if (!inside || claim.withheld !== withheld || verdicts.reduce((sum, one) => sum + one, 0) !== entries) {
    throw new Refusal("claim: its numbers do not go together");
  }
  if (Math.min(entries, ...verdicts) < 0) throw new Refusal("claim: a negative number of entries");
}

/** The leaves that the filter names one by one, each of which is exported, as texts; null for another filter. */
function namedLeavesOf(claim) {
  const named = claim.filters[NAMED_LEAVES];
  return named === undefined ? null : new Set(named.split(",").map((one) => BigInt(one).toString()));
}

const markedOf = (claim) => claim.entries - (claim.verdicts.valid ?? 0) - (claim.verdicts.unsigned ?? 0);

/** What the export claims, in the sentences of its format (exports/claim_words.py). */
function claimsOf(claim) {
  const { entries, verdicts } = claim;
  const isFirst = claim.format === FIRST_CLAIM;
  const differing = MAY_DIFFER.filter((verdict) => verdicts[verdict]).join(" or ");
  const tree = `the ledger ${claim.ledger} as it stood at ${claim.ledger_size} leaves`;
  const unless = isFirst ? ", unless it is marked as tampered" : differing && `, unless it is marked as ${differing}`;
  const unlessSo = !isFirst && differing ? ", unless its entry is marked so" : "";
  const missing = isFirst ? 0 : (verdicts.missing ?? 0);
  const said = [
    `Each of the ${entries} exported entries is a leaf of ${tree}${unless}.`,
    `Every record is exported byte for byte as it was hashed when it was recorded${unlessSo}.`,
    `The account named here exported it at ${claim.exported_at}, and signed it with the certificate named here.`,
  ];
  if (claim.complete_range !== null) {
    const [first, end] = claim.complete_range;
    const records = `${entries - missing} as records${missing ? `, ${missing} as hashes of what is missing` : ""}`;
    said.push(
      `Of the leaves ${first} up to, but not including, ${end} every one is here: ${records} and ` +
        `${claim.withheld} as hashes only: the filter left them out, or they were amended or removed since.`,
    );
  }
  if (!isFirst) {
    const marked = Object.entries(MEANINGS).filter(([verdict]) => verdicts[verdict]);
    return [...said, ...marked.map(([verdict, meaning]) => `Marked as ${verdict}: ${verdicts[verdict]}. ${meaning}`)];
  }
  if (markedOf(claim)) said.push(`${markedOf(claim)} entries are marked: they did not verify when they were exported.`);
  return said;
}

function claimsNotOf(claim) {
  const said = [
    "That what a source reported happened as it was reported: the log proves what was recorded, and when.",
    "That every event was recorded: what never reached the log is in no export.",
    "That the filter selects all that matters: it is shown, and judged by whoever reads it.",
  ];
  if (claim.complete_range === null) {
    said.push("That entries outside the filter do not exist: only their number in the ledger is proved.");
  }
  if (claim.time_stamp_authority === null) {
    said.push("When it was signed, beyond the word of the signer: no time stamp authority was asked.");
  }
  return said;
}

/** The claim and files of manifest.json. Throws Refusal. */
function parsedManifest(raw) {
  const said = parsedCanonicalJson(raw);
  if (!isObject(said) || said.format !== MANIFEST_FORMAT || Object.keys(said).sort().join() !== "claim,files,format") {
    throw new Refusal(`manifest: not of the format ${MANIFEST_FORMAT}`);
  }
  if (!Array.isArray(said.files)) throw new Refusal("manifest: its files are no list");
  for (const file of said.files) {
    if (!isObject(file) || Object.keys(file).sort().join() !== "media_type,name,sha256,size") {
      throw new Refusal("manifest: a file has a name, media type, SHA-256 and size");
    }
    if (![file.name, file.media_type, file.sha256].every(isText) || !isNumber(file.size)) {
      throw new Refusal("manifest: a member of a file is of the wrong kind");
    }
    if (!HASH.test(file.sha256) || file.size < 0) throw new Refusal("manifest: the hash or size of a file cannot be");
  }
  if (new Set(said.files.map((file) => file.name)).size !== said.files.length) {
    throw new Refusal("manifest: a file is listed twice");
  }
  return { claim: checkedClaim(said.claim), files: said.files };
}
