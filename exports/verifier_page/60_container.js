// The .asice file, as exports/container.py writes it: a ZIP archive of one spelling. Headers, directory and XML are made
// again from names, sizes and hashes and compared, so nothing in the archive is outside what the signature covers.
// Compressed and encrypted files, a second directory, paths that climb and document types are refused unread.

const MIMETYPE = bytesOf("application/vnd.etsi.asic-e+zip");
const MIMETYPE_FILE = "mimetype";
const MANIFEST_XML = "META-INF/ASiCManifest001.xml";
const SIGNATURE_FILE = "META-INF/signature001.p7s";
const MAX_FILES = 64;
const MAX_SMALL_FILE = 16 * 1024 * 1024;
const CHUNK = 1 << 20;
const LIMIT_32 = 0xffffffff;
const [LOCAL_SIZE, NAME_LIMIT, EXTRA_LIMIT] = [30, 200, 20];
const PLAIN_NAME = /^(?:[a-z]{1,20}\/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;
const XML_FILE = new RegExp(
  '  <asic:DataObjectReference URI="([^"<>&]{1,200})" MimeType="([^"<>&]{1,100})">\\n' +
    '    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\\n' +
    "    <ds:DigestValue>([A-Za-z0-9+/]{43}=)</ds:DigestValue>\\n" +
    "  </asic:DataObjectReference>\\n",
  "g",
);
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes, crc = 0) {
  let value = ~crc;
  for (let at = 0; at < bytes.length; at++) value = CRC_TABLE[(value ^ bytes[at]) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** Bytes of a file that was chosen, read where they are needed; `onRead` hears how many. */
class Source {
  constructor(blob, onRead = () => {}) {
    this.blob = blob;
    this.size = blob.size;
    this.onRead = onRead;
  }

  async read(at, length) {
    const bytes = new Uint8Array(await this.blob.slice(at, at + length).arrayBuffer());
    this.onRead(bytes.length);
    return bytes;
  }

  /** The bytes of a part in pieces of at most a megabyte. Throws Refusal. */
  async *pieces(at = 0, size = this.size) {
    for (const end = at + size; at < end; ) {
      const piece = await this.read(at, Math.min(CHUNK, end - at));
      if (!piece.length) throw new Refusal("it is cut off");
      at += piece.length;
      yield piece;
    }
  }
}

/** Little-endian numbers: [bytes, value] pairs. */
function packed(...numbers) {
  const raw = new Uint8Array(numbers.reduce((size, [width]) => size + width, 0));
  const view = new DataView(raw.buffer);
  let at = 0;
  for (const [width, value] of numbers) {
    if (width === 8) view.setBigUint64(at, BigInt(value), true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setUint16(at, value, true);
    at += width;
  }
  return raw;
}

const DATE = [[2, 0], [2, 0x21]]; // 1980-01-01
const signatureOf = (high) => [4, 0x4b50 + high * 65536];

function localHeader({ name, size, crc }) {
  const raw = bytesOf(name);
  const extra = size < LIMIT_32 ? new Uint8Array() : packed([2, 1], [2, 16], [8, size], [8, size]);
  const shown = Math.min(size, LIMIT_32);
  const start = packed(
    signatureOf(0x0403), [2, extra.length ? 45 : 20], [2, 0], [2, 0], ...DATE, [4, crc], [4, shown], [4, shown],
    [2, raw.length], [2, extra.length],
  );
  return joined(start, raw, extra);
}

function centralHeader({ name, size, crc, offset }) {
  const wide = [...(size >= LIMIT_32 ? [size, size] : []), ...(offset >= LIMIT_32 ? [offset] : [])];
  const extra = wide.length ? packed([2, 1], [2, 8 * wide.length], ...wide.map((one) => [8, one])) : new Uint8Array();
  const [raw, shown, version] = [bytesOf(name), Math.min(size, LIMIT_32), extra.length ? 45 : 20];
  const start = packed(
    signatureOf(0x0201), [2, version], [2, version], [2, 0], [2, 0], ...DATE, [4, crc], [4, shown], [4, shown],
    [2, raw.length], [2, extra.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, Math.min(offset, LIMIT_32)],
  );
  return joined(start, raw, extra);
}

/** Everything after the last file, which ends at `offset`. */
function directoryOf(stored, offset) {
  const entries = joined(...stored.map(centralHeader));
  const [count, size] = [stored.length, entries.length];
  const wide = offset < LIMIT_32 ? new Uint8Array() : packed(
    signatureOf(0x0606), [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, offset],
    signatureOf(0x0706), [4, 0], [8, offset + size], [4, 1],
  );
  const end = packed(
    signatureOf(0x0605), [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, Math.min(offset, LIMIT_32)], [2, 0],
  );
  return joined(entries, wide, end);
}

const isZip = (start) => startsWith(start, [0x50, 0x4b, 3, 4]) || startsWith(start, [0x50, 0x4b, 5, 6]);
const isPlainName = (name) => PLAIN_NAME.test(name) && name !== "mimetype" && !name.toLowerCase().startsWith("meta-inf");

/** A container whose layout is right. `files`: media type and SHA-256 by name, as its XML manifest names them. */
class Container {
  constructor(source, stored) {
    this.source = source;
    this.stored = new Map(stored.map((one) => [one.name, one]));
  }

  /**
   * Throws Refusal. 1. files lie one after another, stored, with headers of our spelling 2. directory and end are those
   * of these files, and nothing follows 3. `mimetype` is first and says ASiC-E 4. names are plain, each once, manifest
   * and signature last 5. no file is an archive itself 6. small files are small, checksums right
   */
  static async open(source) {
    const [stored, offset] = await localFiles(source); // 1
    const expected = directoryOf(stored, offset); // 2
    if (!same(await source.read(offset, expected.length + 1), expected)) {
      throw new Refusal("the directory of the archive is not that of its files, or something follows it");
    }
    requireNames(stored.map((one) => one.name)); // 4
    const contents = stored.map((one) => ({ ...one, offset: one.offset + localHeader(one).length }));
    const [first] = contents; // 3
    if (first.size !== MIMETYPE.length || !same(await source.read(first.offset, first.size), MIMETYPE)) {
      throw new Refusal(`its mimetype is not ${textOf(MIMETYPE)}`);
    }
    for (const one of contents) {
      if (isZip(await source.read(one.offset, Math.min(4, one.size)))) throw new Refusal(`${one.name} is an archive itself`); // 5
    }
    const container = new Container(source, contents);
    await container.readLists();
    for (const name of [MIMETYPE_FILE, MANIFEST_XML, SIGNATURE_FILE]) {
      if (!(await container.checkSums(name))) throw new Refusal(`the checksum of ${name} is wrong`); // 6
    }
    return container;
  }

  async readLists() {
    this.xml = await this.read(MANIFEST_XML);
    this.signature = await this.read(SIGNATURE_FILE);
    this.files = parsedXml(this.xml);
    if ([...this.files.keys()].join("\n") !== [...this.stored.keys()].slice(1, -2).join("\n")) {
      throw new Refusal("the files are not those that its XML manifest names, in that order");
    }
  }

  has(name) {
    return this.files.has(name);
  }

  size(name) {
    return this.stored.get(name).size;
  }

  /** A small file. Throws Refusal if it is not. */
  async read(name) {
    if (this.size(name) > MAX_SMALL_FILE) throw new Refusal(`${name} is larger than ${grouped(MAX_SMALL_FILE)} bytes`);
    return collected(this.pieces(name));
  }

  pieces(name) {
    const { offset, size } = this.stored.get(name);
    return this.source.pieces(offset, size);
  }

  /** Tell whether the bytes of a file have the SHA-256 that the XML manifest names, and the checksum of the archive. */
  async checkSums(name) {
    const hash = new Sha256();
    let crc = 0;
    for await (const piece of this.pieces(name)) {
      hash.update(piece);
      crc = crc32(piece, crc);
    }
    const expected = this.files.get(name)?.digest;
    return (!expected || same(hash.digest(), expected)) && crc === this.stored.get(name).crc;
  }
}

async function collected(pieces) {
  const parts = [];
  for await (const piece of pieces) parts.push(piece);
  return joined(...parts);
}

async function sha256Of(pieces) {
  const hash = new Sha256();
  for await (const piece of pieces) hash.update(piece);
  return hash.digest();
}

/** The files in the order in which they lie, `offset` being that of the header, and where the last ends. */
async function localFiles(source) {
  const stored = [];
  let offset = 0;
  for (;;) {
    const start = await source.read(offset, LOCAL_SIZE + NAME_LIMIT + EXTRA_LIMIT);
    if (!startsWith(start, [0x50, 0x4b, 3, 4])) break;
    if (stored.length === MAX_FILES) throw new Refusal(`more than ${MAX_FILES} files`);
    const one = localFile(start, offset);
    offset += localHeader(one).length + one.size;
    if (offset > source.size) throw new Refusal("it is cut off");
    stored.push(one);
  }
  if (!stored.length) throw new Refusal("not a ZIP archive that begins with its first file");
  return [stored, offset];
}

function localFile(start, offset) {
  if (start.length < LOCAL_SIZE) throw new Refusal("it is cut off");
  const view = new DataView(start.buffer, start.byteOffset);
  if (view.getUint16(6, true) & 1) throw new Refusal("a file in it is encrypted");
  if (view.getUint16(8, true)) throw new Refusal("a file in it is compressed; files of an export are stored");
  const crc = view.getUint32(14, true);
  let size = view.getUint32(22, true);
  const nameEnd = LOCAL_SIZE + Math.min(view.getUint16(26, true), NAME_LIMIT);
  const end = nameEnd + Math.min(view.getUint16(28, true), EXTRA_LIMIT);
  const raw = start.subarray(LOCAL_SIZE, nameEnd);
  if (raw.some((byte) => byte > 127)) throw new Refusal("a name in it is not plain ASCII");
  if (size === LIMIT_32 && end === nameEnd + EXTRA_LIMIT && start.length >= end) {
    size = Number(view.getBigUint64(nameEnd + 12, true));
  }
  const one = { name: textOf(raw), size, crc, offset };
  if (!same(localHeader(one), start.subarray(0, end))) {
    throw new Refusal("the header of a file in it is not as our writer makes it");
  }
  return one;
}

function requireNames(names) {
  if (new Set(names).size !== names.length) throw new Refusal("a file is in it twice");
  const [first, last] = [names.slice(0, 1), names.slice(-2)];
  if (names.length < 3 || first[0] !== MIMETYPE_FILE || last[0] !== MANIFEST_XML || last[1] !== SIGNATURE_FILE) {
    throw new Refusal("it does not begin with mimetype and end with manifest and signature, as ASiC-E does");
  }
  for (const name of names.slice(1, -2)) {
    if (!isPlainName(name)) throw new Refusal(`${quoted(name)} is not the name of a file that can be in it`);
  }
}

function xmlOf(files) {
  const references = files.map(
    ([name, mediaType, digest]) =>
      `  <asic:DataObjectReference URI="${name}" MimeType="${mediaType}">\n` +
      '    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\n' +
      `    <ds:DigestValue>${digest}</ds:DigestValue>\n` +
      "  </asic:DataObjectReference>\n",
  );
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">\n' +
    `  <asic:SigReference URI="${SIGNATURE_FILE}" MimeType="application/x-pkcs7-signature"/>\n` +
    `${references.join("")}</asic:ASiCManifest>\n`
  );
}

/** Media type and hash by name. No XML parser reads it: it has one spelling, or it is refused. */
function parsedXml(raw) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw);
  if (text.includes("<!")) throw new Refusal("its XML manifest has a document type, entity or comment");
  const found = [...text.matchAll(XML_FILE)].map((match) => match.slice(1));
  if (!same(bytesOf(xmlOf(found)), raw)) throw new Refusal("its XML manifest is not in the one spelling of this format");
  const files = new Map(found.map(([name, mediaType, digest]) => [name, { mediaType, digest: fromBase64(digest) }]));
  if (files.size !== found.length) throw new Refusal("its XML manifest names a file twice");
  return files;
}
