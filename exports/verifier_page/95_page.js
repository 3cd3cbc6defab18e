// The page itself: what is dropped or chosen, the pins, the progress, and the reports.

const TONES = { ok: "good", WRONG: "bad", note: "plain", "cannot tell": "doubt", "not checked": "doubt" };
const VERDICT_TONES = ["good", "bad", "doubt"];
const byId = (id) => document.getElementById(id);

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function reportElement(report) {
  const code = report.exitCode;
  const rows = report.ordered().map(({ name, state, text }) =>
    made(
      "tr",
      { className: TONES[state] },
      made("th", { scope: "row", textContent: name }),
      made("td", {}, made("span", { className: "badge", textContent: state })),
      made("td", { className: "words", textContent: visible(text) }),
    ),
  );
  const head = made(
    "tr", {}, ...["Check", "Outcome", "What was found"].map((text) => made("th", { scope: "col", textContent: text })),
  );
  const section = made(
    "section",
    { className: `report ${VERDICT_TONES[code]}` },
    made("h2", { textContent: report.sentence }),
    made("p", { className: "file words", textContent: visible(report.file) }),
    made("table", {}, made("thead", {}, head), made("tbody", {}, ...rows)),
  );
  section.dataset.exit = code;
  return section;
}

async function readPins() {
  const pins = new Pins();
  pins.addFingerprints(byId("fingerprint").value);
  for (const file of byId("trust").files) await pins.addFile(new Uint8Array(await file.arrayBuffer()), file.name);
  return pins;
}

// What takes a few minutes here. Memory would do for more, and patience would not.
const MOST_BYTES = 1e9;
const megabytes = (bytes) => grouped(Math.ceil(bytes / 1e6));

function requireFew(files) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > MOST_BYTES) {
    throw new Refusal(
      `${megabytes(size)} MB are more than the ${megabytes(MOST_BYTES)} MB that this page takes at once. ` +
        "Use auditlog-verify.pyz: it checks any size.",
    );
  }
}

/** Show how far it is. A large file is read at most three times: hashes, rows, and what the rows say. */
function progressOf(files) {
  const total = files.reduce((sum, file) => sum + file.size, 0) * 3 || 1;
  let read = 0;
  return (bytes) => {
    read += bytes;
    byId("progress").value = Math.min(read / total, 0.99);
    byId("status").textContent = `Checking: ${megabytes(read)} MB read, of at most ${megabytes(total)}`;
  };
}

let running = null;
let chosen = [];

async function check(files) {
  chosen = files;
  const mine = (running = {});
  const results = byId("results");
  results.replaceChildren();
  byId("problem").hidden = true;
  byId("working").hidden = false;
  results.setAttribute("aria-busy", "true");
  try {
    requireFew(files);
    const pins = await readPins();
    const given = files.map((file) => ({ blob: file, name: file.name }));
    const reports = await checkFiles(given, pins, progressOf(files));
    if (running === mine) results.append(...reports.map(reportElement));
  } catch (error) {
    // What cannot be read, or a mistake of this page: nothing is said about the files then.
    if (running === mine) {
      byId("problem").hidden = false;
      byId("problem").textContent = visible(`Not checked: ${error.message}`);
    }
  }
  if (running !== mine) return;
  byId("working").hidden = true;
  byId("again").hidden = false;
  results.setAttribute("aria-busy", "false");
}

function start() {
  if (!globalThis.crypto?.subtle) {
    byId("problem").hidden = false;
    byId("problem").textContent = "This browser has no WebCrypto here. Save the page and open it as a file.";
    return;
  }
  const drop = byId("drop");
  byId("files").addEventListener("change", (event) => {
    if (event.target.files.length) check([...event.target.files]);
  });
  byId("again").addEventListener("click", () => check(chosen));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    // Everywhere, so that a file that misses the field does not replace the page.
    addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) check([...event.dataTransfer.files]);
  });
}

start();
