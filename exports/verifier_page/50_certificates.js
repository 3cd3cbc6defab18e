// X.509 certificates of signers and their issuers (RFC 5280), as signing/certificates.py reads them.

const ECDSA_CURVES = {
  "1.2.840.10045.3.1.7": ["P-256", 32],
  "1.3.132.0.34": ["P-384", 48],
  "1.3.132.0.35": ["P-521", 66],
};
const SIGNATURES = {
  "1.2.840.10045.4.3.2": ["ECDSA", "SHA-256"],
  "1.2.840.10045.4.3.3": ["ECDSA", "SHA-384"],
  "1.2.840.10045.4.3.4": ["ECDSA", "SHA-512"],
  "1.2.840.113549.1.1.11": ["RSASSA-PKCS1-v1_5", "SHA-256"],
  "1.2.840.113549.1.1.12": ["RSASSA-PKCS1-v1_5", "SHA-384"],
  "1.2.840.113549.1.1.13": ["RSASSA-PKCS1-v1_5", "SHA-512"],
};
const [EC_KEY, RSA_KEY] = ["1.2.840.10045.2.1", "1.2.840.113549.1.1.1"];
const DOCUMENT_USAGES = ["1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.10.3.12", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"];
const NAME_PARTS = {
  "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
};
const MAX_CHAIN = 8;
const MAX_CERTIFICATES_SIZE = 1 << 20;

class Certificate {
  /** Throws Refusal for what is no certificate of version 3 in DER. */
  constructor(raw) {
    this.raw = raw;
    refusing("not a certificate in DER that can be read", () => this.parse());
  }

  parse() {
    const raw = this.raw;
    const [signed, algorithm, signature, ...more] = parsedDer(raw).as(TAG.sequence).items;
    const [version, serial, inner, issuer, validity, subject, key, ...rest] = signed.as(TAG.sequence).items;
    if (more.length || version.tag !== 0xa0 || !same(version.content, [TAG.integer, 1, 2])) {
      throw new Refusal("not a certificate of version 3");
    }
    if (serial.as(TAG.integer).content[0] & 0x80 || serial.content.every((byte) => !byte)) {
      throw new Refusal("its serial number or signature is not as RFC 5280 wants it");
    }
    if (!same(algorithm.raw, inner.raw)) throw new Refusal("a certificate names two algorithms");
    this.signed = signed.raw;
    this.signatureAlgorithm = algorithm.items[0].oid;
    this.signature = signature.bits;
    [this.serial, this.issuer, this.subject] = [serial.raw, issuer, subject];
    [this.notBefore, this.notAfter] = validity.items.map(timeOf);
    this.key = key;
    this.extensions = extensionsOf(rest);
    [this.subjectName, this.issuerName] = [nameOf(subject), nameOf(issuer)];
    this.algorithm = signerAlgorithm(key);
    this.basic = this.parsedBasic();
    const usage = this.extensions.get("2.5.29.15");
    this.usages = usage && parsedDer(usage).as(TAG.bits).content[1];
  }

  get fingerprint() {
    return toHex(sha256(this.raw));
  }

  get isSelfIssued() {
    return same(this.subject.raw, this.issuer.raw);
  }

  /** CA or not, and how many CAs may stand below it. */
  parsedBasic() {
    const items = this.extensions.has("2.5.29.19") ? parsedDer(this.extensions.get("2.5.29.19")).items : [];
    const isCa = items[0]?.tag === 1 && items[0].content[0] === 0xff;
    const limit = items.find((item) => item.tag === TAG.integer);
    return { isCa, limit: limit ? limit.content.reduce((number, byte) => number * 256 + byte, 0) : Infinity };
  }

  /** Tell whether a bit of keyUsage is set; undefined if there is no keyUsage. */
  usage(bit) {
    return this.usages === undefined ? undefined : Boolean(this.usages & (0x80 >> bit));
  }

  /** Tell whether this key made a signature, in the form that X.509 and CMS hold. Throws Uncheckable. */
  async verifies(algorithmOid, signature, message) {
    const [name, hash] = SIGNATURES[algorithmOid] ?? [];
    const [kind, curve] = this.key.items[0].items;
    if (!name || (name === "ECDSA") !== (kind.oid === EC_KEY) || (kind.oid === EC_KEY && !ECDSA_CURVES[curve.oid])) {
      throw new Uncheckable(`a signature of the kind ${algorithmOid}: ${ELSEWHERE}`);
    }
    const [namedCurve, size] = name === "ECDSA" ? ECDSA_CURVES[curve.oid] : [];
    const key = await importedKey("spki", this.key.raw, { name, hash, namedCurve });
    const raw = name === "ECDSA" ? rawSignature(signature, size) : signature;
    return crypto.subtle.verify({ name, hash }, key, raw, message);
  }
}

/** "ES256" or "RS256", or "" for a key that signs no exports. */
function signerAlgorithm(key) {
  const [kind, curve] = key.items[0].items;
  if (kind.oid === EC_KEY) return curve.oid === "1.2.840.10045.3.1.7" ? "ES256" : "";
  return kind.oid === RSA_KEY && rsaBits(key) >= 3072 ? "RS256" : "";
}

function extensionsOf(rest) {
  const found = new Map();
  const holder = rest.find((item) => item.tag === 0xa3);
  for (const extension of holder ? holder.items[0].items : []) {
    const [name, ...values] = extension.items;
    if (found.has(name.oid)) throw new Refusal("a certificate has an extension twice");
    found.set(name.oid, values.at(-1).as(TAG.octets).content);
  }
  return found;
}

/** A name as RFC 4514 writes it, the last part first. */
function nameOf(element) {
  const parts = element.items.map((set) =>
    set.items.map((pair) => {
      const [kind, value] = pair.items;
      const text = new TextDecoder().decode(value.content).replace(/[,+"\\<>;]|^[# ]| $/g, "\\$&");
      return `${NAME_PARTS[kind.oid] ?? kind.oid}=${text}`;
    }).join("+"),
  );
  return parts.reverse().join(",");
}

function rsaBits(key) {
  const modulus = parsedDer(key.items[1].bits).items[0].content;
  const first = modulus.findIndex((byte) => byte);
  return first < 0 ? 0 : 8 * (modulus.length - first) - Math.clz32(modulus[first]) + 24;
}

/** A public key for WebCrypto. Throws Refusal for what is none, Uncheckable where the browser does not know its kind. */
async function importedKey(form, raw, algorithm) {
  try {
    return await crypto.subtle.importKey(form, raw, algorithm, false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError" || error instanceof TypeError) {
      throw new Uncheckable(`this browser cannot verify ${algorithm.name}: use auditlog-verify.pyz`);
    }
    throw new Refusal("a public key cannot be read");
  }
}

/** r || s of an ECDSA signature in DER, which has one spelling. Throws Refusal. */
function rawSignature(signature, size) {
  const numbers = parsedDer(signature).as(TAG.sequence).items.map((item) => item.as(TAG.integer).content);
  if (numbers.length !== 2) throw new Refusal("an ECDSA signature is not in DER");
  return joined(...numbers.map((number) => {
    const hasZero = number[0] === 0;
    const digits = hasZero ? number.subarray(1) : number;
    if (digits.length > size || !digits.length || hasZero !== digits[0] >= 0x80) {
      throw new Refusal("an ECDSA signature is not in DER");
    }
    return joined(new Uint8Array(size - digits.length), digits);
  }));
}

/** Throws Refusal unless `one` is issued by `issuer`. */
async function requireIssued(one, issuer) {
  const fits = same(one.issuer.raw, issuer.subject.raw);
  if (!fits || !(await issuer.verifies(one.signatureAlgorithm, one.signature, one.signed))) {
    throw new Refusal(`${one.subjectName} is not issued by ${issuer.subjectName}`);
  }
}

/** The issuers of a certificate out of others, nearest first, up to one that issued itself. Throws Refusal. */
async function requiredChain(certificate, others) {
  const chain = [];
  for (let one = certificate; !one.isSelfIssued && chain.length < MAX_CHAIN; one = chain.at(-1)) {
    const issuer = others.find((other) => !chain.includes(other) && same(one.issuer.raw, other.subject.raw));
    if (!issuer) break;
    chain.push(issuer);
  }
  if (chain.length !== others.length) throw new Refusal("certificates are in it that did not issue its signer's");
  const path = [certificate, ...chain];
  chain.forEach((issuer, place) => {
    const { isCa, limit } = issuer.basic;
    if (!isCa || issuer.usage(5) === false) throw new Refusal(`${issuer.subjectName} is not a CA`);
    if (place > limit) throw new Refusal(`${issuer.subjectName} may not have so many CAs below it`);
  });
  for (const [place, one] of path.entries()) await requireIssued(one, path[place + 1] ?? one);
  return chain;
}

/** Throws Refusal naming what a signer's certificate lacks. */
function requireSignerProfile(certificate) {
  if (!certificate.algorithm) throw new Refusal("its key is neither ECDSA P-256 nor RSA of at least 3072 bits");
  if (certificate.basic.isCa) throw new Refusal("it is the certificate of a CA, and not of a person");
  if (!certificate.usage(0) && !certificate.usage(1)) {
    throw new Refusal("its keyUsage has neither digitalSignature nor nonRepudiation");
  }
  const extended = certificate.extensions.get("2.5.29.37");
  const isForDocuments = (usages) => parsedDer(usages).items.some((usage) => DOCUMENT_USAGES.includes(usage.oid));
  if (extended && !isForDocuments(extended)) {
    throw new Refusal("its extended keyUsage is for something else than signing documents");
  }
}

/** Throws Refusal unless every certificate is valid at that time. */
function requireValidity(certificates, at) {
  for (const one of certificates) {
    if (at < one.notBefore || at > one.notAfter) {
      const span = `${shownTime(one.notBefore, 16)} to ${shownTime(one.notAfter, 16)} UTC`;
      throw new Refusal(`${one.subjectName} is valid from ${span}, not at ${shownTime(at, 16)}`);
    }
  }
}

/** The certificates of PEM text, or of one DER. Throws Refusal if there is none. */
function readCertificates(raw) {
  if (raw.length > MAX_CERTIFICATES_SIZE) throw new Refusal(`larger than ${grouped(MAX_CERTIFICATES_SIZE)} bytes`);
  if (raw[0] === TAG.sequence) return [new Certificate(raw)];
  const blocks = [...textOf(raw).matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)];
  if (!blocks.length) throw new Refusal("not a certificate, in PEM or DER");
  return blocks.map((block) => new Certificate(fromBase64(block[1].replace(/\s/g, ""))));
}
