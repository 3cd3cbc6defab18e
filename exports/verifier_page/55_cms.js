// The detached CMS signature over the list of files, as signing/cms.py makes it: of each there is one spelling. It is put
// together again from its parts and compared, so no byte of it can be changed unseen.

const MAX_CMS_SIZE = 1 << 20;
const OIDS = {
  signedData: "1.2.840.113549.1.7.2",
  data: "1.2.840.113549.1.7.1",
  sha256: "2.16.840.1.101.3.4.2.1",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  signingTime: "1.2.840.113549.1.9.5",
  signingCertificate: "1.2.840.113549.1.9.16.2.47",
  timeStamp: "1.2.840.113549.1.9.16.2.14",
  ES256: "1.2.840.10045.4.3.2",
  RS256: "1.2.840.113549.1.1.11",
};
const VERSION_1 = Uint8Array.of(TAG.integer, 1, 1);
const DER_NULL = Uint8Array.of(TAG.null, 0);

/** The SHA-256 of the content that a signature names, where that is not at hand: worth what verifiedCms says of it. */
async function cmsContentDigest(raw) {
  if (raw.length > MAX_CMS_SIZE) throw new Refusal(`larger than ${grouped(MAX_CMS_SIZE)} bytes`);
  return (await parsedCms(raw)).messageDigest;
}

/**
 * The signature if it is one over content with this SHA-256: certificate, chain, signingTime, timeStamp. Throws Refusal.
 *
 * 1. it has one signer, and his certificate is in it with those of its issuers 2. the signed attributes name this
 * content and this certificate 3. the certificate's key made the signature 4. nothing else is in it, in one spelling
 */
async function verifiedCms(raw, digest) {
  if (raw.length > MAX_CMS_SIZE) throw new Refusal(`larger than ${grouped(MAX_CMS_SIZE)} bytes`);
  const found = await parsedCms(raw); // 1
  if (!same(found.messageDigest, digest)) throw new Refusal("it signs other content"); // 2
  const expected = attributesOf(digest, found.certificate, found.timeElement);
  const message = derSet(TAG.set, ...expected);
  if (!(await found.certificate.verifies(OIDS[found.certificate.algorithm], found.signature, message))) {
    throw new Refusal("the signature is not that of its certificate's key"); // 3
  }
  if (!same(assembledCms(found, expected), raw)) throw new Refusal("more or other is in it than such a signature has"); // 4
  return found;
}

async function parsedCms(raw) {
  const parts = refusing("not a CMS signature of one signer", () => cmsParts(raw));
  const [issuer, serial] = parts.sid;
  const isNamed = (one) => same(one.issuer.raw, issuer.raw) && same(one.serial, serial.raw);
  const [certificate, ...more] = parts.certificates.filter(isNamed);
  if (!certificate || more.length) throw new Refusal("its signer's certificate is not in it");
  const chain = await requiredChain(certificate, parts.certificates.filter((one) => one !== certificate));
  if (!certificate.algorithm) throw new Refusal("its key is neither ECDSA P-256 nor RSA of at least 3072 bits");
  const [digest, time] = [parts.signed.get(OIDS.messageDigest), parts.signed.get(OIDS.signingTime)];
  if (!digest || !time) throw new Refusal("not a CMS signature of one signer");
  return {
    certificate,
    chain,
    messageDigest: digest.content,
    timeElement: time.raw,
    signingTime: timeOf(time),
    signature: parts.signature,
    timeStamp: parts.timeStamp,
  };
}

function cmsParts(raw) {
  const [kind, outer] = parsedDer(raw).items;
  if (kind.oid !== OIDS.signedData) throw new Refusal("not a CMS signature");
  const [, , , certificates, signers] = outer.items[0].items;
  const [signer, ...more] = signers.items;
  const [, sid, , attributes, , signature, unsigned] = signer.items;
  if (more.length) throw new Refusal("not a CMS signature of one signer");
  return {
    certificates: certificates.items.map((one) => new Certificate(one.raw)),
    sid: sid.items,
    signed: new Map(attributes.items.map((attribute) => [attribute.items[0].oid, attribute.items[1].items[0]])),
    signature: signature.as(TAG.octets).content,
    timeStamp: unsigned ? unsigned.items[0].items[1].items[0].raw : null,
  };
}

function attributesOf(digest, certificate, timeElement) {
  const attribute = (oid, value) => derSequence(derOid(oid), der(TAG.set, value));
  const named = derSequence(derSequence(derSequence(der(TAG.octets, sha256(certificate.raw)))));
  return [
    attribute(OIDS.contentType, derOid(OIDS.data)),
    attribute(OIDS.messageDigest, der(TAG.octets, digest)),
    attribute(OIDS.signingTime, timeElement),
    attribute(OIDS.signingCertificate, named),
  ];
}

function assembledCms(found, attributes) {
  const digestAlgorithm = derSequence(derOid(OIDS.sha256), DER_NULL);
  const oid = derOid(OIDS[found.certificate.algorithm]);
  const signer = [
    VERSION_1,
    derSequence(found.certificate.issuer.raw, found.certificate.serial),
    digestAlgorithm,
    derSet(0xa0, ...attributes),
    found.certificate.algorithm === "RS256" ? derSequence(oid, DER_NULL) : derSequence(oid),
    der(TAG.octets, found.signature),
  ];
  if (found.timeStamp) {
    signer.push(der(0xa1, derSequence(derOid(OIDS.timeStamp), der(TAG.set, found.timeStamp))));
  }
  const data = derSequence(
    VERSION_1,
    der(TAG.set, digestAlgorithm),
    derSequence(derOid(OIDS.data)),
    derSet(0xa0, ...[found.certificate, ...found.chain].map((one) => one.raw)),
    der(TAG.set, derSequence(...signer)),
  );
  return derSequence(derOid(OIDS.signedData), der(0xa0, data));
}
