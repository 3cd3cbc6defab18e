// What is said of a file: one line a check, with the names, states and sentences of exports/verifier/report.py.

const CHECKS = [
  "container", "files", "signature", "certificate", "signer", "time stamp", "manifest", "records", "marked entries",
  "proof", "checkpoint", "entry signatures", "CSV", "JSON", "PDF",
];
const [
  CONTAINER, DIGESTS, SIGNATURE, CERTIFICATE, SIGNER, TIME_STAMP, MANIFEST, RECORDS, MARKED,
  PROOFS, CHECKPOINT, ENTRY_SIGNATURES, CSV, JSON_DOCUMENT, PDF,
] = CHECKS;
const SENTENCES = [
  "All is right: nothing was changed, and every key that signed is pinned.",
  "Something was CHANGED or does not belong: do not rely on it.",
  "Nothing is wrong that can be seen, but something cannot be told.",
];
const SENTENCE_MARKED =
  "Entries in it are marked: when it was made they did not verify, or had been removed. Nothing else is wrong that can be seen.";
const MAX_EXAMPLES = 5;
const ELSEWHERE = "this page does not check that: use auditlog-verify.pyz";

class Report {
  constructor(file) {
    this.file = file;
    this.checks = [];
  }

  add(name, state, text) {
    this.checks.push({ name, state, text });
  }

  ok(name, text) {
    this.add(name, "ok", text);
  }

  /** Neither right nor wrong, but the reader should know. */
  note(name, text) {
    this.add(name, "note", text);
  }

  wrong(name, text) {
    this.add(name, "WRONG", text);
  }

  cannotTell(name, text) {
    this.add(name, "cannot tell", text);
  }

  notChecked(name, text) {
    this.add(name, "not checked", text);
  }

  /** Run a step: what it refuses is wrong, what it cannot check is said to be so. Returns null then. */
  async step(name, run) {
    try {
      return await run();
    } catch (error) {
      if (error instanceof Refusal) this.wrong(name, error.message);
      else if (error instanceof Uncheckable) this.notChecked(name, error.message);
      else throw error;
      return null;
    }
  }

  has(name) {
    return this.checks.some((check) => check.name === name);
  }

  /** 0 all is right, 1 something is wrong, 2 something cannot be told: the exit status of auditlog-verify. */
  get exitCode() {
    const states = new Set(this.checks.map((check) => check.state));
    if (states.has("WRONG")) return 1;
    return states.has("not checked") || states.has("cannot tell") || !states.has("ok") ? 2 : 0;
  }

  /** What it comes to. */
  get sentence() {
    return this.exitCode === 2 && this.has(MARKED) ? SENTENCE_MARKED : SENTENCES[this.exitCode];
  }

  ordered() {
    return [...this.checks].sort((one, other) => CHECKS.indexOf(one.name) - CHECKS.indexOf(other.name));
  }
}

/** The first of many findings as one text. */
function examples(found, total) {
  const shown = found.slice(0, MAX_EXAMPLES).join("; ");
  return total <= MAX_EXAMPLES ? shown : `${shown}; and ${total - MAX_EXAMPLES} more`;
}

/** Counts by name, as `collections.Counter`. */
class Counter extends Map {
  count(name, number = 1) {
    this.set(name, (this.get(name) ?? 0) + number);
  }

  total() {
    return [...this.values()].reduce((sum, number) => sum + number, 0);
  }

  sorted() {
    return [...this].sort(([one], [other]) => compareTexts(one, other));
  }
}
