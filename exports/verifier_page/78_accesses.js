// Records of accesses, as exports of the ledger `meta` hold them: exports/access_records.py and render_accesses_csv.py.

const ACCESSES_NAME = "accesses.csv";
const ACCESS_START = /^\{"action":"[a-z_]{1,32}","a(?:gent|t)":/;
const ACCESS_REQUIRED = {
  action: isText, at: isText, id: isText, ledger: isText, path: isText, query: Array.isArray, query_hash: isText,
  sizes: isObject, user_id: isText,
};
const ACCESS_MEMBERS = [
  "id", "at", "user_id", "user_name", "auth", "auth_id", "action", "phase", "completes", "method", "path", "route", "query",
  "query_hash", "result_count", "result_digest", "sizes", "status", "duration_ms", "bytes", "ip", "agent", "request_id",
  "ledger",
];
const ACCESS_COLUMNS = ["leaf_index", ...ACCESS_MEMBERS, "verdict", "reason", "leaf_hash", "record_base64"];

const isAccess = (text) => ACCESS_START.test(text);

/** The members of the record of an access, or null unless it is in the one spelling. */
function accessMembers(record) {
  try {
    const said = parsedJson(textOf(record));
    if (!isObject(said) || !same(bytesOf(spelledJson(said, null)), record)) return null;
    return Object.entries(ACCESS_REQUIRED).every(([name, isKind]) => isKind(said[name])) ? said : null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return null;
  }
}

function accessFault(row, ledger) {
  if (row.verdict !== "unsigned" || row.keyId !== null || row.signature !== null || row.detached !== null) {
    return "nobody signs the record of an access, and nothing lies beside it";
  }
  const said = accessMembers(row.record);
  if (said === null) return "its record is not one of an access";
  if (ledger !== null && said.ledger !== ledger) return "its record is of another ledger";
  return said.query_hash === queryHash(said) ? null : "its query hash is not that of its own query";
}

function queryHash(said) {
  const isPair = (one) => Array.isArray(one) && one.length === 2 && one.every(isText);
  if (!said.query.every(isPair)) return null;
  const asked = {
    action: said.action,
    ledgers: Object.keys(said.sizes).sort(compareTexts),
    parameters: [...said.query].sort(([name, value], [otherName, otherValue]) =>
      compareTexts(name, otherName) || compareTexts(value, otherValue)),
    resource: said.path,
    user: said.user_id,
  };
  return toHex(sha256(bytesOf(spelledJson(asked, null))));
}

function accessRow(row) {
  const said = accessMembers(row.record) ?? {};
  const shown = (value) => (isText(value) ? value : spelledJson(value, null));
  return bytesOf(csvLine([
    String(row.leafIndex),
    ...ACCESS_MEMBERS.map((name) => neutralised(said[name] === undefined || said[name] === null ? "" : shown(said[name]))),
    row.verdict,
    neutralised(row.reason),
    toHex(leafHash(row.record)),
    toBase64(row.record),
  ]));
}

/** The row of a line without its end, whose record alone is believed. Throws Refusal if its leaf hash is another. */
function parsedAccess(line) {
  const cells = csvCells(textOf(line));
  if (cells.length !== ACCESS_COLUMNS.length) throw new Refusal(`a row has not ${ACCESS_COLUMNS.length} cells`);
  const cell = Object.fromEntries(ACCESS_COLUMNS.map((name, place) => [name, cells[place]]));
  if (!/^(0|[1-9][0-9]{0,15})$/.test(cell.leaf_index)) throw new Refusal("not a row of this format");
  const record = fromBase64(cell.record_base64);
  if (toHex(leafHash(record)) !== cell.leaf_hash) {
    throw new Refusal("the row does not lead back to the record whose hash it names");
  }
  return {
    leafIndex: Number(cell.leaf_index),
    record,
    detached: null,
    keyId: null,
    signature: null,
    verdict: checkedVerdict(cell.verdict),
    reason: restored(cell.reason),
  };
}
