// The tree of the ledger (RFC 9162, 2.1), and the proof that all exported entries are in it: exports/proofs.py has the
// format. leaf = SHA-256(0x00 || record), node = SHA-256(0x01 || left || right).

const PROOF_NAME = "proofs/entries.multiproof";
const PROOF_VERSION = "auditlog-multiproof/1";
const MAX_PROOF_LINE = 400;
const PROOF_LINE = /^(?:s (0|[1-9][0-9]?)|([wx])) ([A-Za-z0-9+/]{43}=)$|^e ([1-9][0-9]{0,18})$/;
const PROOF_RANGE = /^(0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18})$/;
const MAX_HEIGHT = 52; // a tree of 2^53 leaves; numbers above that are not whole in JavaScript
const [LEAF, NODE] = [Uint8Array.of(0), Uint8Array.of(1)];

const leafHash = (record) => sha256(LEAF, record);
const nodeHash = (left, right) => sha256(NODE, left, right);

/** The perfect subtrees that cover a tree, largest first: enough to append and to know the root. */
class Frontier {
  constructor() {
    this.size = 0;
    this.nodes = [];
  }

  /** Add the root of a perfect subtree of 2^height leaves. Throws Refusal unless one can stand here. */
  append(node, height = 0) {
    const leaves = 2 ** height;
    if (this.size % leaves) throw new Refusal(`no subtree of height ${height} begins at leaf ${this.size}`);
    for (let carry = this.size / leaves; carry % 2; carry = Math.floor(carry / 2)) node = nodeHash(this.nodes.pop(), node);
    this.nodes.push(node);
    this.size += leaves;
  }

  root() {
    return this.nodes.length ? this.nodes.reduceRight((right, left) => nodeHash(left, right)) : sha256();
  }
}

/**
 * What the lines of a multi-proof show of these entries ({ leafIndex, hash, isMarked }, in order). Throws Refusal.
 *
 * 1. the lines cover every leaf of the tree once, and inside the complete range leaf by leaf 2. the exported leaves are
 * those of the entries, in number and place 3. a mismatched one is really not the leaf, and marked as one that may not be
 */
async function verifiedProof(lines, entries) {
  const head = await proofHead(lines);
  const walk = new Walk(head, entries);
  for (;;) {
    const line = await lines.next();
    if (line === null) throw new Refusal("the proof is cut off: its last line is missing");
    if (line === "end\n") break;
    const match = line.endsWith("\n") && line.slice(0, -1).match(PROOF_LINE);
    if (!match) throw new Refusal("a line of the proof is malformed");
    await walk.line(match);
  }
  if ((await lines.next()) !== null) throw new Refusal("something follows the last line of the proof");
  return walk.proved();
}

class Walk {
  constructor(head, entries) {
    this.head = head;
    this.entries = entries;
    this.tree = new Frontier();
    this.exported = this.mismatched = this.withheld = 0;
    [this.first, this.after] = head.completeRange ?? [head.size, head.size];
  }

  async line([, height, kind, encoded, run]) {
    if (run !== undefined) return this.take(Number(run));
    let node;
    try {
      node = fromBase64(encoded);
    } catch {
      throw new Refusal("a hash of the proof is not base64 of 32 bytes");
    }
    if (height !== undefined) return this.subtree(Number(height), node);
    const at = this.tree.size;
    if (kind === "x") await this.mismatch(at, node);
    else if (this.first <= at && at < this.after) this.withheld++;
    this.tree.append(node);
    return undefined;
  }

  async mismatch(at, node) {
    const entry = await this.next();
    if (entry.leafIndex !== at || same(entry.hash, node)) {
      throw new Refusal(`leaf ${at} is not the mismatched entry that the proof says it is`);
    }
    if (!entry.isMarked) {
      throw new Refusal(`the record of leaf ${at} is not the leaf, and it is not marked as tampered or missing`);
    }
    this.exported++;
    this.mismatched++;
  }

  /** Take the next entries as leaves, which must follow one another. */
  async take(count) {
    if (this.tree.size + count > this.head.size) throw new Refusal("the proof covers more leaves than the tree has");
    for (const end = this.tree.size + count; this.tree.size < end; ) {
      const entry = await this.next();
      if (entry.leafIndex !== this.tree.size) {
        throw new Refusal(`where the proof has the exported leaf ${this.tree.size}, the data has ${entry.leafIndex}`);
      }
      this.tree.append(entry.hash);
    }
    this.exported += count;
  }

  async next() {
    const entry = await this.entries.next();
    if (entry === null) throw new Refusal("the proof has more exported entries than there are");
    return entry;
  }

  subtree(height, node) {
    const [begin, end] = [this.tree.size, this.tree.size + 2 ** height];
    if (height > MAX_HEIGHT || end > this.head.size) throw new Refusal("the proof covers more leaves than the tree has");
    if (begin < this.after && end > this.first) {
      throw new Refusal(`leaves ${begin} to ${end - 1} of the complete range are not there one by one`);
    }
    this.tree.append(node, height);
  }

  async proved() {
    const { tree, head, exported, mismatched, withheld } = this;
    if (tree.size !== head.size) throw new Refusal(`the proof covers ${tree.size} leaves, not ${head.size}`);
    const surplus = await this.entries.next();
    if (surplus) throw new Refusal(`the entry of leaf ${surplus.leafIndex} is not one that the proof has`);
    return { head, root: tree.root(), exported, mismatched, withheld };
  }
}

async function proofHead(lines) {
  const raw = [];
  while (raw.length < 5) raw.push((await lines.next()) ?? "");
  const [version, origin, size, span, blank] = raw.map((line) => line.replace(/\n$/, ""));
  const range = span === "-" ? null : span.match(PROOF_RANGE);
  if (range === undefined || (span !== "-" && !range)) throw new Refusal("the range of the proof is no range");
  const completeRange = range && [Number(range[1]), Number(range[2])];
  const whole = raw.every((line) => line.endsWith("\n")) && /^(0|[1-9][0-9]{0,15})$/.test(size) && blank === "";
  if (version !== PROOF_VERSION || !whole || !Number.isSafeInteger(Number(size))) {
    throw new Refusal(`not a proof of the format ${PROOF_VERSION}`);
  }
  const head = { origin, size: Number(size), completeRange };
  const [first, end] = completeRange ?? [0, 0];
  if (first > end || end > head.size) throw new Refusal("the range of the proof does not lie within the tree");
  return head;
}

/** The lines of a proof, one by one: `next()` gives null after the last. */
class ProofLines {
  constructor(pieces) {
    this.pieces = pieces;
    this.lines = [];
    this.at = 0;
    this.rest = new Uint8Array();
  }

  async next() {
    while (this.at === this.lines.length) {
      const { done, value } = await this.pieces.next();
      if (done && !this.rest.length) return null;
      this.fill(done ? null : value);
    }
    return this.lines[this.at++];
  }

  fill(piece) {
    const whole = piece === null ? this.rest : joined(this.rest, piece);
    const end = piece === null ? whole.length : whole.lastIndexOf(10) + 1;
    this.lines = refusedText(whole.subarray(0, end)).match(/[^\n]*\n|[^\n]+$/g) ?? [];
    this.at = 0;
    this.rest = whole.slice(end);
    if (this.rest.length > MAX_PROOF_LINE) throw new Refusal("a line of the proof is too long");
  }
}

function refusedText(bytes) {
  try {
    return textOf(bytes);
  } catch {
    throw new Refusal("a line of the proof is malformed");
  }
}
