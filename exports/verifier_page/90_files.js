// Files of any kind in, reports out: containers one by one, loose files together. As exports/verifier/packed.py,
// signers.py and loose.py; a PDF and a time stamp are left to auditlog-verify.pyz, and that is said.

const NEEDED = [MANIFEST_NAME, CHECKPOINT_NAME, PROOF_NAME, SIGNER_NAME, ISSUERS_NAME];
const LOOSE_STARTS = {
  [JSON_NAME]: FORMATS[JSON_NAME].header,
  [NDJSON_NAME]: '{"record',
  [CSV_NAME]: FORMATS[CSV_NAME].header.slice(0, 40),
  [ACCESSES_NAME]: FORMATS[ACCESSES_NAME].header.slice(0, 40),
  [PROOF_NAME]: PROOF_VERSION,
  [REPORT_NAME]: "%PDF-",
  [VERIFY_NAME]: "# How to check `",
  [MIMETYPE_FILE]: textOf(MIMETYPE),
};
const LOOSE_PATTERNS = {
  [JWKS_NAME]: /^\{\s*"keys"/u,
  [VKEYS_NAME]: /^[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}\s/u,
  [MANIFEST_XML]: /^<\?xml[^]{0,1000}ASiCManifest/u,
};
const CMS_START = /^30(?:..){1,5}06092a864886f70d010702/; // in hexadecimal: of the type SignedData
const PEM_START = "-----BEGIN CERTIFICATE-----";
// Of these only the manifest says something, by their hashes.
const LISTED_ONLY = [VERIFY_NAME, VKEYS_NAME, SIGNER_NAME, ISSUERS_NAME];
// Of the container itself, so that no list has them.
const AROUND = [MIMETYPE_FILE, MANIFEST_XML, SIGNATURE_FILE];
const [START_SIZE, END_SIZE] = [4096, 65_536];
const PDF_TEXT = `the report itself: ${ELSEWHERE}`;

/** A report for each container, and one for all other files together. `given`: { blob, name }. */
async function checkFiles(given, pins, onRead = () => {}) {
  const [reports, loose] = [[], []];
  for (const { blob, name } of given) {
    const source = new Source(blob, onRead);
    if (isZip(await source.read(0, 4))) {
      reports.push(new Report(name));
      await checkContainer(source, reports.at(-1), pins);
    } else {
      loose.push({ source, name });
    }
  }
  if (loose.length) {
    reports.push(new Report(loose.map((one) => one.name).join(", ")));
    await checkLoose(loose, reports.at(-1), pins);
  }
  return reports;
}

// --- A container ---

async function checkContainer(source, report, pins) {
  await report.step(CONTAINER, async () => {
    const opened = await Container.open(source);
    report.ok(CONTAINER, `ASiC-E of one spelling, ${opened.files.size} files`);
    await checkDigests(opened, report);
    checkNeeded(opened.files, report);
    const manifest = opened.has(MANIFEST_NAME) ? await checkManifest(await opened.read(MANIFEST_NAME), report) : null;
    const claim = manifest ? manifest.claim : null;
    await checkSignature(opened, opened.xml, opened.signature, report, pins, claim);
    if (manifest) checkContainerListing(opened, report, manifest);
    await checkContents(opened, report, pins, claim);
    if (opened.has(REPORT_NAME)) report.notChecked(PDF, PDF_TEXT);
    else if (claim?.entries && !ROW_FILES.some((name) => opened.has(name))) {
      report.wrong(RECORDS, "there are neither rows nor a report in it");
    }
  });
}

async function checkDigests(opened, report) {
  const damaged = [];
  for (const name of opened.files.keys()) {
    if (!(await opened.checkSums(name))) damaged.push(name);
  }
  if (damaged.length) report.wrong(DIGESTS, `not the files that were signed: ${damaged.join(", ")}`);
  else report.ok(DIGESTS, "every file has the SHA-256 that was signed");
}

/** Checks that the files which every export has are among those that are signed. */
function checkNeeded(listed, report) {
  const missing = NEEDED.filter((name) => !listed.has(name));
  if (missing.length) report.wrong(CONTAINER, `files that every export has are missing: ${missing.join(", ")}`);
}

/** Checks the signature over the list of files, and who made it; without the list (`xml` null) only the latter. */
async function checkSignature(opened, xml, signature, report, pins, claim) {
  const found = await report.step(SIGNATURE, async () =>
    verifiedCms(signature, xml === null ? await cmsContentDigest(signature) : sha256(xml)));
  if (!found) return;
  const { certificate, chain, signingTime } = found;
  const when = `at ${shownTime(signingTime)} UTC by his own clock`;
  if (xml === null) {
    const text = `${certificate.subjectName} signed a list of files, ${when}; the list, ${MANIFEST_XML}, is not here`;
    report.notChecked(SIGNATURE, text);
  } else {
    report.ok(SIGNATURE, `${certificate.subjectName} signed the list of files, ${when}`);
  }
  await report.step(CERTIFICATE, async () => {
    for (const [name, expected] of [[SIGNER_NAME, [certificate]], [ISSUERS_NAME, chain]]) {
      const here = opened.has(name) ? readCertificates(await opened.read(name)) : expected;
      if (here.length !== expected.length || !here.every((one, place) => same(one.raw, expected[place].raw))) {
        throw new Refusal(`${name} is not what signed the export`);
      }
    }
  });
  checkTimeStamp(report, found, claim);
  await report.step(CERTIFICATE, () => checkCertificate(report, found, claim));
  checkSigner(report, found, pins);
}

function checkTimeStamp(report, found, claim) {
  const claimed = claim ? claim.time_stamp_authority : null;
  if (found.timeStamp === null) {
    if (claimed !== null) report.wrong(TIME_STAMP, `the manifest says that ${claimed} was asked, and there is no time stamp`);
    else report.note(TIME_STAMP, "none, and the export says so: when it was signed is the signer's word");
  } else if (claim && claimed === null) {
    report.wrong(TIME_STAMP, "there is one, and the manifest says that none was asked for");
  } else {
    report.notChecked(TIME_STAMP, `there is one; ${ELSEWHERE}`);
  }
}

function checkCertificate(report, found, claim) {
  const { certificate, chain, signingTime } = found;
  requireSignerProfile(certificate);
  requireValidity([certificate, ...chain], signingTime);
  const { fingerprint, notAfter } = certificate;
  if (claim && fingerprint !== claim.signer_certificate_sha256) {
    report.wrong(CERTIFICATE, "the export is signed with another certificate than its manifest names");
  } else if (Date.now() > notAfter) {
    const when = shownTime(notAfter, 10);
    report.cannotTell(CERTIFICATE, `it expired on ${when}, and no time stamp that was checked here says that it signed before`);
  } else {
    report.ok(CERTIFICATE, `SHA-256 ${fingerprint}; of the right kind, and valid at the time that the signer claims`);
  }
  report.note(CERTIFICATE, "whether it was revoked is not in the file: ask the operator for revocations");
}

function checkSigner(report, { certificate, chain }, pins) {
  const path = [certificate, ...chain];
  if (pins.holdsOneOf(path)) {
    report.ok(SIGNER, `pinned: ${certificate.subjectName}, certified by ${certificate.issuerName}`);
  } else {
    const root = path.at(-1).fingerprint;
    report.cannotTell(SIGNER, `intact, signer unknown: ${certificate.subjectName}; the root above is SHA-256 ${root}`);
  }
}

function checkContainerListing(opened, report, manifest) {
  const spelled = (name, mediaType, hash, size) => [name, mediaType, hash, size].join("\n");
  const listed = manifest.files.map((file) => spelled(file.name, file.media_type, file.sha256, file.size));
  const found = [...opened.files].filter(([name]) => name !== MANIFEST_NAME)
    .map(([name, { mediaType, digest }]) => spelled(name, mediaType, toHex(digest), opened.size(name)));
  if (listed.sort().join("\0") !== found.sort().join("\0")) {
    report.wrong(MANIFEST, "it lists other files than there are, or other hashes, sizes or kinds of them");
  } else {
    report.ok(MANIFEST, `it lists the ${listed.length} other files, with the right hashes and sizes`);
  }
}

// --- Loose files ---

/** Files that lie about, by the name that they have in a container. */
class Loose {
  constructor() {
    this.files = new Map();
  }

  async add(source, shown) {
    const kind = await kindOf(source);
    if (!kind) throw new Refusal(`${shown} is no file of an export`);
    if (this.files.has(kind)) throw new Refusal(`${shown} is a second ${kind}: check the exports one by one`);
    this.files.set(kind, source);
  }

  has(name) {
    return this.files.has(name);
  }

  size(name) {
    return this.files.get(name).size;
  }

  async read(name) {
    if (this.size(name) > MAX_SMALL_FILE) throw new Refusal(`${name} is larger than ${grouped(MAX_SMALL_FILE)} bytes`);
    return collected(this.pieces(name));
  }

  pieces(name) {
    return this.files.get(name).pieces();
  }
}

/** The name that such a file has in a container, or null: it shows in its first bytes, whatever its name. */
async function kindOf(source) {
  const start = await source.read(0, START_SIZE);
  for (const [name, expected] of Object.entries(LOOSE_STARTS)) {
    if (startsWith(start, bytesOf(expected))) return name;
  }
  if (CMS_START.test(toHex(start.subarray(0, 20)))) return SIGNATURE_FILE;
  const text = new TextDecoder().decode(start);
  for (const [name, pattern] of Object.entries(LOOSE_PATTERNS)) {
    if (pattern.test(text)) return name;
  }
  if (text.startsWith(PEM_START)) return kindOfCertificates(source);
  if (startsWith(start, bytesOf("{\n"))) {
    const decoder = new TextDecoder();
    const end = decoder.decode(await source.read(Math.max(source.size - END_SIZE, 0), END_SIZE));
    if (end.includes(`"format": "${MANIFEST_FORMAT}"`)) return MANIFEST_NAME;
    const isClaim = (format) => (decoder.decode(start) + end).includes(`"format": "${format}"`);
    if ([FIRST_CLAIM, SECOND_CLAIM].some(isClaim)) return CLAIM_NAME;
  }
  try {
    parsedNote(textOf(start));
  } catch {
    return null;
  }
  return CHECKPOINT_NAME;
}

/** Whose certificates they are: no signer is a CA, and each issuer is. */
async function kindOfCertificates(source) {
  if (source.size > MAX_CERTIFICATES_SIZE) return null;
  try {
    const [first] = readCertificates(await collected(source.pieces()));
    return first.basic.isCa ? ISSUERS_NAME : SIGNER_NAME;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

async function checkLoose(given, report, pins) {
  await report.step(CONTAINER, async () => {
    const files = new Loose();
    for (const { source, name } of given) await files.add(source, name);
    const manifest = files.has(MANIFEST_NAME) ? await checkManifest(await files.read(MANIFEST_NAME), report) : null;
    const claim = await looseClaim(files, report, manifest ? manifest.claim : null);
    await checkLists(files, report, manifest);
    await checkAround(files, report, pins, claim);
    if (files.has(REPORT_NAME)) report.notChecked(PDF, PDF_TEXT);
    if (claim || [...ROW_FILES, PROOF_NAME, CHECKPOINT_NAME].some((name) => files.has(name))) {
      await checkContents(files, report, pins, claim);
    }
  });
}

async function looseClaim(files, report, other) {
  if (!files.has(CLAIM_NAME)) return other;
  const claim = await report.step(MANIFEST, async () => checkedClaim(parsedCanonicalJson(await files.read(CLAIM_NAME))));
  if (claim && other && spelledJson(claim) !== spelledJson(other)) {
    report.wrong(MANIFEST, "claim.json is not the claim of the manifest");
  }
  return claim ?? other;
}

/** Checks what is of the container itself: its type, and the signature over the list of files. */
async function checkAround(files, report, pins, claim) {
  if (files.has(MIMETYPE_FILE)) {
    const said = textOf(MIMETYPE);
    if (same(await files.read(MIMETYPE_FILE), MIMETYPE)) {
      report.ok(CONTAINER, `its mimetype is ${said}, as that of every export`);
    } else {
      report.wrong(CONTAINER, `its mimetype is not ${said}`);
    }
  }
  if (files.has(SIGNATURE_FILE)) {
    const xml = files.has(MANIFEST_XML) ? await files.read(MANIFEST_XML) : null;
    await checkSignature(files, xml, await files.read(SIGNATURE_FILE), report, pins, claim);
  } else {
    report.notChecked(SIGNATURE, "loose files: the signature is in the container (.asice)");
  }
}

/** Compares the files with the list that is signed and with the manifest's, as far as these are here. */
async function checkLists(files, report, manifest) {
  const names = [...files.files.keys()];
  const signed = await signedList(files, report);
  if (!signed && !manifest) {
    const alone = names.filter((name) => LISTED_ONLY.includes(name));
    if (alone.length) {
      report.notChecked(DIGESTS, `only the manifest, which is not here, says what is right: ${alone.join(", ")}`);
    }
    return;
  }
  const lists = new Map();
  if (manifest) lists.set("the manifest", new Map(manifest.files.map((file) => [file.name, [file.sha256, file.size]])));
  if (signed) lists.set("the signed list", new Map([...signed].map(([name, { digest }]) => [name, [toHex(digest), null]])));
  if (signed && manifest) requireSameList(report, signed, manifest);
  const found = new Map();
  for (const name of names.filter((one) => one !== CLAIM_NAME && !AROUND.includes(one))) {
    found.set(name, toHex(await sha256Of(files.pieces(name))));
  }
  for (const [where, listed] of lists) {
    const here = [...found.keys()].filter((name) => name !== MANIFEST_NAME || where !== "the manifest");
    const isRight = (name) => {
      const [digest, size] = listed.get(name) ?? [];
      return digest === found.get(name) && (size === null || size === files.size(name));
    };
    for (const name of here.filter((one) => !isRight(one))) {
      report.wrong(DIGESTS, `${name} is not the file that ${where} lists`);
    }
    const right = here.filter(isRight);
    if (right.length) report.ok(DIGESTS, `as ${where} lists them: ${right.join(", ")}`);
  }
  const all = new Set([...lists.values()].flatMap((listed) => [...listed.keys()]));
  const missing = [...all].filter((name) => !files.has(name)).sort();
  if (missing.length) report.notChecked(DIGESTS, `not here: ${missing.join(", ")}`);
}

async function signedList(files, report) {
  if (!files.has(MANIFEST_XML)) return null;
  const listed = await report.step(CONTAINER, async () => parsedXml(await files.read(MANIFEST_XML)));
  if (listed) checkNeeded(listed, report);
  return listed;
}

function requireSameList(report, signed, manifest) {
  const spelled = (name, mediaType, hash) => [name, mediaType, hash].join("\n");
  const listed = manifest.files.map((file) => spelled(file.name, file.media_type, file.sha256));
  const found = [...signed].filter(([name]) => name !== MANIFEST_NAME)
    .map(([name, { mediaType, digest }]) => spelled(name, mediaType, toHex(digest)));
  if (listed.sort().join("\0") !== found.sort().join("\0")) {
    report.wrong(MANIFEST, "it lists other files than the signed list, or other hashes or kinds of them");
  }
}
