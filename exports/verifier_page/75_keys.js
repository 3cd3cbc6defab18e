// Keys: checkpoints and vkeys (C2SP signed-note), JWK Sets, and what the reader pins. Strict, as signing/checkpoint.py,
// signing/jws.py and exports/verifier/pins.py are.

const MAX_NOTE_SIZE = 1_000_000;
const MAX_SIGNATURES = 100;
const MAX_PIN_SIZE = 1 << 20;
const NOTE_DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;
const isKeyName = (name) => name !== "" && !/[\s+\u0000-\u001f]/.test(name);
const installationOf = (origin) => origin.slice(0, Math.max(origin.lastIndexOf("/"), 0));
const noteKeyId = (name, key) => sha256(bytesOf(`${name}\n`), Uint8Array.of(1), key).slice(0, 4);

/** A checkpoint's note, not verified yet. Throws Refusal. */
function parsedNote(note) {
  if (bytesOf(note).length > MAX_NOTE_SIZE) throw new Refusal(`longer than ${MAX_NOTE_SIZE} bytes`);
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw new Refusal("control characters");
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n") || cut + 2 === note.length) {
    throw new Refusal("no blank line and signatures after the text, or cut off at the end");
  }
  const lines = note.slice(cut + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) throw new Refusal(`more than ${MAX_SIGNATURES} signatures`);
  const body = note.slice(0, cut + 1);
  return { ...noteBody(body), body: bytesOf(body), signatures: lines.map(noteSignature) };
}

function noteBody(body) {
  const lines = body.slice(0, -1).split("\n");
  if (lines.length < 3 || lines.includes("")) throw new Refusal("a checkpoint has origin, size and root, and no empty line");
  const [origin, size, root] = lines;
  if (!NOTE_DECIMAL.test(size) || !Number.isSafeInteger(Number(size))) {
    throw new Refusal("the size is not a decimal number without leading zeros");
  }
  return { origin, size: Number(size), root: hashOf(root) };
}

function hashOf(text) {
  try {
    const root = fromBase64(text);
    if (root.length === 32) return root;
  } catch {
    throw new Refusal("the root is not base64");
  }
  throw new Refusal("the root has 32 bytes");
}

function noteSignature(line) {
  const [dash, name = "", ...rest] = line.split(" ");
  if (dash !== "—" || !isKeyName(name)) throw new Refusal("a signature line is: em dash, key name, base64");
  let raw;
  try {
    raw = fromBase64(rest.join(" "));
  } catch {
    throw new Refusal("a signature is not base64");
  }
  if (raw.length <= 4) throw new Refusal("a signature is a key id and more");
  return { name, keyId: raw.subarray(0, 4), signature: raw.subarray(4) };
}

/** Throws Refusal unless one of these public keys signed the note under its origin, and none of them wrongly. */
async function requireSigned(note, keys) {
  let isSigned = false;
  for (const key of keys) {
    const keyId = noteKeyId(note.origin, key);
    for (const line of note.signatures.filter((one) => one.name === note.origin && same(one.keyId, keyId))) {
      const imported = await importedKey("raw", key, { name: "Ed25519" });
      if (!(await crypto.subtle.verify({ name: "Ed25519" }, imported, line.signature, note.body))) {
        throw new Refusal(`the signature of ${note.origin} is wrong`);
      }
      isSigned = true;
    }
  }
  if (!isSigned) throw new Refusal("not signed by any of the keys asked for");
}

/** The keys of a trust file: name and public key. Throws Refusal. */
function parsedVkeys(text) {
  const lines = text.split(/\r\n|[\n\r\v\f\u001c-\u001e\u0085\u2028\u2029]/).map((line) => line.trim());
  const keys = lines.flatMap((line, at) => {
    if (!line || line.startsWith("#")) return [];
    try {
      return [vkeyOf(line)];
    } catch (error) {
      throw new Refusal(`line ${at + 1}: ${error.message}`);
    }
  });
  if (!keys.length) throw new Refusal("no key is pinned in it");
  return keys;
}

function vkeyOf(line) {
  const [name, keyId, ...rest] = line.split("+"); // base64 may hold a plus, name and key id may not
  if (!rest.length) throw new Refusal("a vkey is name+key id+key");
  const typed = fromBase64(rest.join("+"));
  if (typed[0] !== 1 || typed.length !== 33) {
    throw new Refusal("the key in the vkey is not an Ed25519 note key (type 0x01)");
  }
  const key = typed.subarray(1);
  if (!isKeyName(name) || toHex(noteKeyId(name, key)) !== keyId) {
    throw new Refusal("the key id in the vkey does not belong to its name and key");
  }
  return { name, key };
}

/** The public keys that are pinned for the installation of a ledger, each once. */
function keysForOrigin(vkeys, origin) {
  const fitting = vkeys.filter((one) => installationOf(one.name) === installationOf(origin));
  return [...new Map(fitting.map((one) => [toHex(one.key), one.key])).values()];
}

const HASH_256 = { hash: "SHA-256" };
const ENTRY_ALGORITHMS = [
  { alg: "EdDSA", base: { kty: "OKP", crv: "Ed25519" }, numbers: ["x"], algorithm: { name: "Ed25519" } },
  { alg: "PS256", base: { kty: "RSA" }, numbers: ["n", "e"], algorithm: { name: "RSA-PSS", saltLength: 32, ...HASH_256 } },
  { alg: "RS256", base: { kty: "RSA" }, numbers: ["n", "e"], algorithm: { name: "RSASSA-PKCS1-v1_5", ...HASH_256 } },
  {
    alg: "ES256", base: { kty: "EC", crv: "P-256" }, numbers: ["x", "y"],
    algorithm: { name: "ECDSA", namedCurve: "P-256", ...HASH_256 },
  },
  { alg: "ML-DSA-65", base: { kty: "AKP" }, numbers: ["pub"], algorithm: null },
];

/** The keys of a JWK Set by id. Throws Refusal for what is none, or has two keys of one id. */
async function entryKeysOf(raw) {
  const said = parsedJson(textOf(raw));
  if (!isObject(said) || !Array.isArray(said.keys) || !said.keys.every(isObject)) throw new Refusal("not a JWK Set");
  const keys = new Map();
  for (const jwk of said.keys) keys.set(jwk.kid, await entryKey(jwk));
  if (keys.size !== said.keys.length) throw new Refusal("a key id is in it twice"); // readers would differ about which it is
  return keys;
}

async function entryKey(jwk) {
  const isIt = ({ alg, base }) => jwk.alg === alg && Object.entries(base).every(([name, value]) => jwk[name] === value);
  const kind = ENTRY_ALGORITHMS.find(isIt);
  if (!kind || !isText(jwk.kid)) throw new Refusal(`the key ${quoted(jwk.kid)} is of no algorithm that signs entries`);
  const numbers = Object.fromEntries(kind.numbers.map((name) => [name, fromBase64Url(jwk[name])]));
  const expected = { ...kind.base, kid: jwk.kid, alg: kind.alg, use: "sig" };
  for (const name of kind.numbers) expected[name] = jwk[name];
  if (spelledJson(expected) !== spelledJson(jwk)) throw new Refusal(`the key ${quoted(jwk.kid)} is not one of the log`);
  const header = spelledJson({ alg: kind.alg, kid: jwk.kid, typ: "activity-entry" }, null);
  const key = { alg: kind.alg, jwk: spelledJson(jwk), start: `${toBase64Url(bytesOf(header))}.`, algorithm: kind.algorithm };
  try {
    key.imported = await importedNumbers(kind, jwk, numbers);
  } catch (error) {
    if (!(error instanceof Uncheckable)) throw error;
    key.imported = null;
  }
  return key;
}

async function importedNumbers({ alg, base, algorithm }, jwk, numbers) {
  if (!algorithm) throw new Uncheckable(ELSEWHERE);
  if (alg === "EdDSA") return importedKey("raw", numbers.x, algorithm);
  if (alg === "ES256") {
    if (numbers.x.length !== 32 || numbers.y.length !== 32) throw new Refusal("a public key cannot be read");
    return importedKey("raw", joined(Uint8Array.of(4), numbers.x, numbers.y), algorithm);
  }
  if (!numbers.n[0] || !numbers.e[0] || numbers.n.length < 384 || (numbers.n.length === 384 && numbers.n[0] < 0x80)) {
    throw new Refusal("not an RSA public key of at least 3072 bits");
  }
  return importedKey("jwk", { ...base, n: jwk.n, e: jwk.e }, algorithm);
}

/** What the reader pins: certificates, checkpoint keys and entry keys that he got another way than with the export. */
class Pins {
  constructor() {
    this.fingerprints = new Set();
    this.checkpointKeys = [];
    this.entryKeys = new Map();
  }

  holdsOneOf(certificates) {
    return certificates.some((one) => this.fingerprints.has(one.fingerprint));
  }

  /** Add fingerprints, which spaces or commas part. Throws Refusal. */
  addFingerprints(text) {
    for (const word of text.split(/[\s,]+/).filter(Boolean)) {
      const fingerprint = word.replaceAll(":", "").toLowerCase();
      if (!HASH.test(fingerprint)) throw new Refusal(`${word}: no fingerprint (64 hexadecimal digits)`);
      this.fingerprints.add(fingerprint);
    }
  }

  /** Add what a file pins. Throws Refusal. */
  async addFile(raw, name) {
    if (raw.length > MAX_PIN_SIZE) throw new Refusal(`${name}: larger than ${grouped(MAX_PIN_SIZE)} bytes`);
    let keys = new Map();
    try {
      if (raw[0] === TAG.sequence) readCertificates(raw).forEach((one) => this.fingerprints.add(one.fingerprint));
      else keys = await this.addText(textOf(raw), raw);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal(`${name}: no certificate, trust file or JWK Set: ${error.message}`);
    }
    for (const [kid, key] of keys) {
      if ((this.entryKeys.get(kid) ?? key).jwk !== key.jwk) {
        throw new Refusal(`${name}: the key ${quoted(kid)} is pinned already, and is another one there`);
      }
      this.entryKeys.set(kid, key);
    }
  }

  /** Returns entry keys, if it is those. */
  async addText(text, raw) {
    if (text.trimStart().startsWith("{")) return entryKeysOf(raw);
    if (text.includes("-----BEGIN")) {
      readCertificates(raw).forEach((one) => this.fingerprints.add(one.fingerprint));
    } else {
      this.checkpointKeys.push(...parsedVkeys(text));
    }
    return new Map();
  }
}
