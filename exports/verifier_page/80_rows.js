// Rows of exported data: taken apart, written again in every format, and looked at as exports/verifier/rows.py does.
// A row is { leafIndex, record, detached, keyId, signature, verdict, reason }; record, detached and signature are bytes.

const [CSV_NAME, NDJSON_NAME, JSON_NAME] = ["entries.csv", "entries.ndjson", "entries.json"];
const ROW_FILES = [NDJSON_NAME, CSV_NAME, ACCESSES_NAME, JSON_NAME];
const VERDICTS = new Set(["valid", "tampered", "missing", "untrusted_key", "removed", "erased", "unsigned", "cannot_tell"]);
const isSound = (verdict) => verdict === "valid" || verdict === "unsigned";
const MAX_LINE = 64 * 1024 * 1024;
const BATCH = 512;
const NEWLINE = Uint8Array.of(10);
const TAIL = bytesOf(',"leaf_index":');
const [RECORD_START, RECORD_BASE64_START] = [bytesOf('{"record":'), bytesOf('{"record_base64":"')];
const ROW_MEMBERS = "leaf_index,verdict,reason,key_id,signature,detached_data";
const AMENDMENT_START = ',"amendment":';
const BEFORE_DATA = ["action", "actor"];
const AFTER_DATA = [
  "event_id", "id", "ip", "kid", "ledger", "occurred_at", "outcome", "recorded_at", "revision", "severity", "source",
  "target", "type",
];
const SHOWN = [
  "id", "occurred_at", "recorded_at", "type", "action", "actor", "target", "outcome", "severity", "source", "ip", "event_id",
  "ledger", "revision",
];
const OPTIONAL = ["event_id", "ip", "kid"];
const COLUMNS = [
  "leaf_index", ...SHOWN, "amendment", "verdict", "reason", "data", "data_place", "key_id", "signature", "leaf_hash",
  "record_base64",
];

// --- NDJSON and JSON ---

function ndjsonRow(row) {
  const { record } = row;
  const isInline = !record.includes(10) && (isSound(row.verdict) || isJsonObject(record));
  const head = isInline ? joined(RECORD_START, record) : joined(RECORD_BASE64_START, bytesOf(`${toBase64(record)}"`));
  const base64 = (bytes) => (bytes === null ? "null" : `"${toBase64(bytes)}"`);
  const tail =
    `"verdict":${jsonText(row.verdict)},"reason":${jsonText(row.reason)},` +
    `"key_id":${row.keyId === null ? "null" : jsonText(row.keyId)},` +
    `"signature":${base64(row.signature)},"detached_data":${base64(row.detached)}}`;
  return joined(head, TAIL, bytesOf(`${row.leafIndex},${tail}`));
}

function isJsonObject(record) {
  if (record[0] !== 0x7b || record.at(-1) !== 0x7d) return false;
  try {
    return isObject(lenientJson(textOf(record)));
  } catch {
    return false;
  }
}

/** JSON as Python reads it, which also takes NaN and Infinity; only a tampered record holds them. */
function lenientJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|NaN|-?Infinity/g, (one) => (one.startsWith('"') ? one : "0")));
  }
}

/** The row of a line. Throws Refusal unless `ndjsonRow` would write the same bytes. */
function parsedNdjson(line) {
  const cut = lastIndexOf(line, TAIL);
  if (cut < 0) throw new Refusal("not a row of this format");
  const said = parsedJson(`{${textOf(line.subarray(cut + 1))}`);
  const texts = [said.verdict, said.reason].every(isText) && [said.key_id, said.signature, said.detached_data].every(orNull(isText));
  if (Object.keys(said).join() !== ROW_MEMBERS || !isNumber(said.leaf_index) || said.leaf_index < 0 || !texts) {
    throw new Refusal("not a row of this format");
  }
  const bytes = (text) => (text === null ? null : fromBase64(text));
  const row = {
    leafIndex: said.leaf_index,
    record: recordOf(line.subarray(0, cut)),
    detached: bytes(said.detached_data),
    keyId: said.key_id,
    signature: bytes(said.signature),
    verdict: checkedVerdict(said.verdict),
    reason: said.reason,
  };
  if (!same(ndjsonRow(row), line)) throw new Refusal("not in the one spelling of this format");
  return row;
}

function recordOf(head) {
  if (startsWith(head, RECORD_START)) return head.slice(RECORD_START.length);
  if (startsWith(head, RECORD_BASE64_START) && head.at(-1) === 0x22) {
    return fromBase64(textOf(head.subarray(RECORD_BASE64_START.length, -1)));
  }
  throw new Refusal("a row begins with its record");
}

function checkedVerdict(text) {
  if (!VERDICTS.has(text)) throw new Refusal("not a row of this format");
  return text;
}

// --- Cells that no spreadsheet takes for a formula (exports/csv_cells.py) ---

const FORMULA_START = "=+\\-@−＝＋－＠﹦﹢﹣﹫";
const CELL_SPACE = " \\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000\"'";
const CELL_CONTROL =
  "\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ufff9-\\ufffb";
const AT_START = new RegExp(`^[${CELL_SPACE}]*[${FORMULA_START}']`);
const AFTER_SEPARATOR = new RegExp(`^[${CELL_SPACE}]*[${FORMULA_START}]`);
const HAS_CONTROL = new RegExp(`[${CELL_CONTROL}]`);
const TO_ESCAPE = new RegExp(`[\\\\${CELL_CONTROL}]|[;|](?=[${CELL_SPACE}]*[${FORMULA_START}])`, "g");

function neutralised(text) {
  if (!isText(text)) throw new Refusal("not a row of this format");
  const parts = () => text.split(/[;|]/).slice(1);
  if (!AT_START.test(text) && !HAS_CONTROL.test(text) && !parts().some((part) => AFTER_SEPARATOR.test(part))) return text;
  const escaped = (one) => (one === "\\" ? "\\\\" : `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `'${text.replace(TO_ESCAPE, escaped)}`;
}

function restored(cell) {
  if (!cell.startsWith("'")) return cell;
  const text = cell.slice(1).replace(/\\(\\|u[0-9a-f]{4}|)/g, (_, code) => {
    if (!code) throw new Refusal("a cell has a backslash that escapes nothing");
    return code === "\\" ? "\\" : String.fromCharCode(parseInt(code.slice(1), 16));
  });
  if (neutralised(text) !== cell) throw new Refusal("a cell is not escaped as this format does it");
  return text;
}

// --- CSV (exports/render_csv.py) ---

const csvLine = (cells) => `${cells.map((cell) => (/[",]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")}\r\n`;

function csvRow(row) {
  const parts = recordParts(row);
  const members = parts?.members ?? {};
  return bytesOf(csvLine([
    String(row.leafIndex),
    ...SHOWN.slice(0, -1).map((name) => neutralised(members[name] ?? "")),
    String(members.revision ?? ""),
    neutralised(parts?.amendment ?? ""),
    row.verdict,
    neutralised(row.reason),
    neutralised(parts?.data ?? ""),
    parts?.place ?? "",
    neutralised(row.keyId ?? ""),
    row.signature === null ? "" : toBase64(row.signature),
    toHex(leafHash(row.record)),
    parts ? "" : toBase64(row.record),
  ]));
}

/** The parts of a record that make it again, or null if they would not. Throws Refusal for a sound one that is none. */
function recordParts(row) {
  if (isSound(row.verdict)) return splitRecord(row.record, row.detached);
  try {
    const parts = splitRecord(row.record, row.detached);
    const { members } = parts;
    const fits =
      Object.entries(members).every(([name, value]) => (name === "revision" ? isNumber(value) : isText(value))) &&
      !OPTIONAL.some((name) => members[name] === "") &&
      (members.kid ?? null) === row.keyId &&
      [...BEFORE_DATA, ...AFTER_DATA].every((name) => OPTIONAL.includes(name) || name in members) &&
      isObject(lenientJson(parts.data)) && !/[\t\r\n]/.test(parts.data) &&
      same(composedRecord(parts), row.record);
    return fits ? parts : null;
  } catch {
    return null;
  }
}

/** Take a record apart. No text in it holds an unescaped quotation mark, so each cut is the only one there. */
function splitRecord(record, detached) {
  const text = textOf(record);
  let end = text.lastIndexOf(',"id":');
  if (end > 0 && text[end - 1] === '"') end = text.lastIndexOf(',"event_id":', end - 1);
  const start = text.indexOf(detached === null ? ',"data":' : ',"data_sha256":');
  if (end < 0 || start < 0) throw new Refusal("a record that is exported as right is not one of an entry");
  const found = text.indexOf(AMENDMENT_START);
  const cut = found < 0 || found > start ? start : found;
  const amendment = text.slice(cut + AMENDMENT_START.length, start);
  const members = { ...parsedJson(`${text.slice(0, cut)}}`), ...parsedJson(`{${text.slice(end + 1)}`) };
  if (!("v" in members)) throw new Refusal("a record that is exported as right is not one of an entry");
  delete members.v;
  if (detached === null) return { members, amendment, data: text.slice(start + ',"data":'.length, end), place: "inline" };
  return { members, amendment, data: textOf(detached), place: "detached" };
}

/** The record of these parts. */
function composedRecord({ members, amendment, data, place }) {
  let middle = `,"data":${data}`;
  if (place === "detached") {
    const raw = bytesOf(data);
    middle = `,"data_sha256":"${toHex(sha256(raw))}","data_size":${raw.length}`;
  } else if (place !== "inline") {
    throw new Refusal("data is inline or detached");
  }
  const spelled = (name) => `${jsonText(name)}:${isText(members[name]) ? jsonText(members[name]) : members[name]}`;
  if (amendment) middle = AMENDMENT_START + amendment + middle;
  const after = AFTER_DATA.filter((name) => name in members).map(spelled);
  return bytesOf(`{${BEFORE_DATA.map(spelled).join(",")}${middle},${[...after, '"v":1'].join(",")}}`);
}

/** The row of a line without its end. Throws Refusal if it does not lead to its leaf hash. */
function parsedCsv(line) {
  const cells = csvCells(textOf(line));
  if (cells.length !== COLUMNS.length) throw new Refusal(`a row has not ${COLUMNS.length} cells`);
  const cell = Object.fromEntries(COLUMNS.map((name, place) => [name, cells[place]]));
  const text = Object.fromEntries(COLUMNS.map((name) => [name, restored(cell[name])]));
  if (!/^(0|[1-9][0-9]{0,15})$/.test(cell.leaf_index)) throw new Refusal("not a row of this format");
  const record = text.data_place ? composedRecord(cellParts(text)) : fromBase64(text.record_base64);
  if (toHex(leafHash(record)) !== cell.leaf_hash) {
    throw new Refusal("the row does not lead back to the record whose hash it names");
  }
  return {
    leafIndex: Number(cell.leaf_index),
    record,
    detached: text.data_place === "detached" ? bytesOf(text.data) : null,
    keyId: text.key_id || null,
    signature: cell.signature ? fromBase64(cell.signature) : null,
    verdict: checkedVerdict(cell.verdict),
    reason: text.reason,
  };
}

function cellParts(text) {
  const members = Object.fromEntries(SHOWN.filter((name) => text[name] || !OPTIONAL.includes(name)).map((name) => [name, text[name]]));
  if (text.key_id) members.kid = text.key_id;
  if (!/^-?\d{1,15}$/.test(text.revision)) throw new Refusal("not a row of this format");
  const { amendment, data, data_place: place } = text;
  return { members: { ...members, revision: Number(text.revision) }, amendment, data, place };
}

function csvCells(line) {
  const cells = [];
  let at = 0;
  do {
    if (line[at] !== '"') {
      const end = line.indexOf(",", at) < 0 ? line.length : line.indexOf(",", at);
      cells.push(line.slice(at, end));
      at = end + 1;
      continue;
    }
    let [cell, end] = ["", line.indexOf('"', at + 1)];
    for (; line[end + 1] === '"' && end >= 0; end = line.indexOf('"', at + 1)) {
      cell += line.slice(at + 1, end + 1);
      at = end + 1;
    }
    if (end < 0 || (end + 1 < line.length && line[end + 1] !== ",")) throw new Refusal("a cell has a quotation mark inside");
    cells.push(cell + line.slice(at + 1, end));
    at = end + 2;
  } while (at <= line.length);
  return cells;
}

// --- All formats ---

/** How each format is written. `footer` gets the claim. */
const FORMATS = {
  [CSV_NAME]: { header: csvLine(COLUMNS), separator: "", end: "\r\n", rows: csvRow, parsed: parsedCsv, footer: () => "" },
  [ACCESSES_NAME]: {
    header: csvLine(ACCESS_COLUMNS), separator: "", end: "\r\n", rows: accessRow, parsed: parsedAccess, footer: () => "",
  },
  [NDJSON_NAME]: {
    header: "", separator: "", end: "\n", rows: (row) => joined(ndjsonRow(row), NEWLINE), parsed: parsedNdjson, footer: () => "",
  },
  [JSON_NAME]: {
    header: '{"format":"auditlog-export/1","entries":[\n',
    separator: ",\n",
    end: "\n",
    rows: ndjsonRow,
    parsed: parsedNdjson,
    footer: (claim) => `\n],"claim":${spelledJson(claim, null)}}\n`,
  },
};

/** Yield the rows of a file as bytes, in batches, without line ends, header and footer. Throws Refusal. */
async function* splitRows(name, pieces) {
  const { end, header } = FORMATS[name];
  let [batch, isFirst, isOver] = [[], header !== "", false];
  for await (const line of linesOf(pieces, bytesOf(end))) {
    if (isFirst) {
      if (!same(joined(line, bytesOf(end)), bytesOf(header))) throw new Refusal("it does not begin as this format does");
      isFirst = false;
      continue;
    }
    if (name === JSON_NAME) {
      if (!line.length) continue; // the empty line that the footer begins with where there is no row
      isOver = startsWith(line, bytesOf('],"claim":'));
      if (isOver) break;
    }
    batch.push(name === JSON_NAME && line.at(-1) === 0x2c ? line.subarray(0, -1) : line);
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (isFirst) throw new Refusal("it does not begin as this format does");
  if (name === JSON_NAME && !isOver) throw new Refusal("the document is cut off");
  if (batch.length) yield batch;
}

async function* linesOf(pieces, end) {
  let rest = new Uint8Array();
  for await (const piece of pieces) {
    const whole = rest.length ? joined(rest, piece) : piece;
    let start = 0;
    for (let at = whole.indexOf(end[0]); at >= 0; at = whole.indexOf(end[0], at + 1)) {
      if (!startsWith(whole, end, at)) continue;
      yield whole.subarray(start, at);
      start = at + end.length;
    }
    rest = whole.slice(start);
    if (rest.length > MAX_LINE) throw new Refusal(`a line is longer than ${grouped(MAX_LINE)} bytes`);
  }
  if (rest.length) throw new Refusal("the last line is cut off");
}

// --- What a row shows ---

/** Say what is wrong with an entry, or access, that is exported as right, or null. Counts signatures in `told`. */
async function faultOf(row, keys, ledger, told) {
  let text;
  try {
    text = textOf(row.record);
  } catch {
    return "its record is not one of an entry";
  }
  if (isAccess(text)) return accessFault(row, ledger);
  const [at, start] = [text.lastIndexOf(',"id":"'), text.indexOf(',"data')];
  if (at < 0 || start < 0) return "its record is not one of an entry";
  const members = text.slice(at); // flat texts, none of which holds an unescaped quotation mark
  if (ledger !== null && !members.includes(`,"ledger":${jsonText(ledger)},`)) return "its record is of another ledger";
  return dataFault(row, text, start) ?? signatureFault(row, members, keys, told);
}

function dataFault(row, text, start) {
  if (text.startsWith(',"data":', start)) {
    return row.detached === null ? null : "data lies beside a record that has its data inside";
  }
  const data = row.detached ?? new Uint8Array();
  const wanted = `,"data_sha256":"${toHex(sha256(data))}","data_size":${data.length},`;
  return text.startsWith(wanted, start) ? null : "the data beside it is not what its record says";
}

async function signatureFault(row, members, keys, told) {
  if (row.keyId === null || row.verdict === "unsigned") {
    if (row.keyId !== null || row.signature !== null || members.includes(',"kid":')) {
      return "it stands here as unsigned, and names a key or has a signature";
    }
    return row.verdict === "unsigned" ? null : "it stands here as valid, and is unsigned";
  }
  if (!members.includes(`,"kid":${jsonText(row.keyId)},`)) return "its record names another key";
  if (row.signature === null) return "its signature is gone";
  const key = keys.get(row.keyId);
  if (!key) {
    told.unknownKeys.count(row.keyId);
    return null;
  }
  if (!key.imported) {
    told.uncheckable.count(key.alg);
    return null;
  }
  const message = bytesOf(key.start + toBase64Url(row.record));
  if (!(await crypto.subtle.verify(key.algorithm, key.imported, row.signature, message))) {
    return `its signature is not that of ${row.keyId} over its record`;
  }
  told.right.count(row.keyId);
  return null;
}
